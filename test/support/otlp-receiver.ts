import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { json } from 'node:stream/consumers';
import { z } from 'zod';

const attributeSchema = z.object({
  key: z.string(),
  value: z.union([
    z.object({ stringValue: z.string() }).transform(({ stringValue }) => stringValue),
    z.object({ intValue: z.coerce.string() }).transform(({ intValue }) => Number(intValue)),
    z.unknown(),
  ]),
});

/** What a receiver is sent: OTLP 1.x, `ExportTraceServiceRequest` as JSON, the parts that are looked at. */
const requestSchema = z.object({
  resourceSpans: z.array(
    z.object({
      resource: z.object({ attributes: z.array(attributeSchema) }),
      scopeSpans: z.array(
        z.object({
          spans: z.array(
            z.object({
              traceId: z.string().regex(/^[0-9a-f]{32}$/),
              spanId: z.string().regex(/^[0-9a-f]{16}$/),
              parentSpanId: z.string().optional(),
              name: z.string(),
              kind: z.number(),
              startTimeUnixNano: z.coerce.bigint(),
              endTimeUnixNano: z.coerce.bigint(),
              attributes: z.array(attributeSchema),
              status: z.object({ code: z.number().optional() }),
            }),
          ),
        }),
      ),
    }),
  ),
});

export interface ReceivedSpan {
  service: unknown;
  traceId: string;
  spanId: string;
  parentSpanId: string | undefined;
  name: string;
  /** 1 internal, 2 server, 3 client, 5 consumer. */
  kind: number;
  startNs: bigint;
  endNs: bigint;
  attributes: Readonly<Record<string, unknown>>;
  /** 2: failed. */
  status: number;
}

export interface OtlpReceiver {
  /** For OTEL_EXPORTER_OTLP_ENDPOINT. */
  url: string;
  spans: ReceivedSpan[];
  /** Requests that were no OTLP. */
  bad: unknown[];
  close(): Promise<void>;
}

/** Takes spans over OTLP/HTTP as JSON, on loopback. */
export async function startOtlpReceiver(): Promise<OtlpReceiver> {
  const spans: ReceivedSpan[] = [];
  const bad: unknown[] = [];
  const server: Server = createServer((request, response) => {
    void json(request)
      .then((body) => {
        if (request.url !== '/v1/traces' || request.headers['content-type'] !== 'application/json') {
          throw new Error(`${request.url ?? ''} with ${request.headers['content-type'] ?? ''}`);
        }
        spans.push(...decode(body));
        response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
      })
      .catch((error: unknown) => {
        bad.push(error);
        response.writeHead(400).end();
      });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    spans,
    bad,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function decode(body: unknown): ReceivedSpan[] {
  return requestSchema.parse(body).resourceSpans.flatMap(({ resource, scopeSpans }) => {
    const service = toRecord(resource.attributes)['service.name'];
    return scopeSpans
      .flatMap(({ spans }) => spans)
      .map(({ parentSpanId, startTimeUnixNano, endTimeUnixNano, attributes, status, ...span }) => ({
        ...span,
        service,
        parentSpanId: parentSpanId === '' ? undefined : parentSpanId,
        startNs: startTimeUnixNano,
        endNs: endTimeUnixNano,
        attributes: toRecord(attributes),
        status: status.code ?? 0,
      }));
  });
}

function toRecord(attributes: readonly { key: string; value: unknown }[]): Record<string, unknown> {
  return Object.fromEntries(attributes.map(({ key, value }) => [key, value]));
}
