import type { Attributes, SpanKind } from '@opentelemetry/api';
import type { SpanExporter } from '@opentelemetry/sdk-trace';
import { SAMPLED, parseTraceparent, renderTraceparent } from './http/trace-context.js';
import type { TracesTarget } from './traces-config.js';
import { VERSION } from './version.js';

/** Spans that wait to be sent. A receiver that is away costs this much memory and no time; what is more is dropped. */
const MAX_WAITING_SPANS = 4_096;
const MAX_SPANS_PER_REQUEST = 512;
/** So old at most is a span when it is sent. */
const SEND_EVERY_MS = 1_000;
/** The end of a process waits no longer for a receiver that is away. */
const SEND_TIMEOUT_MS = 2_000;
/** Names, routes and ids are far shorter; an attribute must not carry a body. */
const MAX_ATTRIBUTE_LENGTH = 256;

export interface SpanOptions {
  kind: keyof typeof SpanKind;
  /** W3C `traceparent` of what caused it. None, or one that is not valid: it begins a trace. */
  parent: string | undefined;
  /** Now, where it is not given. */
  startedAt?: Date;
  attributes?: Attributes;
}

export interface OpenSpan {
  /** 32 hex digits. */
  traceId: string;
  /** Of this span, for what it causes. */
  traceparent: string;
  end(options?: { at?: Date; attributes?: Attributes; failed?: boolean }): void;
}

/** Makes spans by hand and sends them to a receiver. A process that is to trace nothing has none, and asks nothing of one. */
export interface Tracing {
  begin(name: string, options: SpanOptions): OpenSpan;
  /** Sends what waits. */
  close(): Promise<void>;
}

/**
 * OpenTelemetry's tracer with its exporter, OTLP over HTTP as JSON. Loaded only here: a process without traces does not pay for it with
 * memory either.
 *
 * @param onTrouble spans could not be sent, told once until they can again; they are lost, and nothing else is
 */
export async function openTracing(target: TracesTarget, onTrouble: (error: Error) => void): Promise<Tracing> {
  const { url, serviceName, ratio } = target;
  const [api, sdk, { resourceFromAttributes }, { OTLPTraceExporter }] = await Promise.all([
    import('@opentelemetry/api'),
    import('@opentelemetry/sdk-trace'),
    import('@opentelemetry/resources'),
    import('@opentelemetry/exporter-trace-otlp-http'),
  ]);
  const provider = new sdk.TracerProvider({
    resource: resourceFromAttributes({ 'service.name': serviceName, 'service.version': VERSION }),
    // Who calls decides; for those who do not, the ratio does, by the trace's id: each process decides the same.
    sampler: new sdk.ParentBasedSampler({ root: new sdk.TraceIdRatioBasedSampler(ratio) }),
    spanLimits: { attributeValueLengthLimit: MAX_ATTRIBUTE_LENGTH },
    spanProcessors: [
      new sdk.BatchSpanProcessor({
        exporter: withoutFailures(new OTLPTraceExporter({ url, timeoutMillis: SEND_TIMEOUT_MS }), onTrouble),
        maxQueueSize: MAX_WAITING_SPANS,
        maxExportBatchSize: MAX_SPANS_PER_REQUEST,
        scheduledDelayMillis: SEND_EVERY_MS,
        exportTimeoutMillis: SEND_TIMEOUT_MS,
      }),
    ],
  });
  const tracer = provider.getTracer('tallystick', VERSION);

  return {
    begin(name, { kind, parent, startedAt, attributes }) {
      const cause = parseTraceparent(parent);
      const context =
        cause === undefined
          ? api.ROOT_CONTEXT
          : api.trace.setSpanContext(api.ROOT_CONTEXT, {
              traceId: cause.traceId,
              spanId: cause.spanId,
              traceFlags: cause.flags,
              isRemote: true,
            });
      const span = tracer.startSpan(
        name,
        {
          kind: api.SpanKind[kind],
          ...(startedAt === undefined ? {} : { startTime: startedAt }),
          ...(attributes === undefined ? {} : { attributes }),
        },
        context,
      );
      const { traceId, spanId, traceFlags } = span.spanContext();
      return {
        traceId,
        traceparent: renderTraceparent({ traceId, spanId, flags: traceFlags & SAMPLED }),
        end({ at, attributes: more, failed = false } = {}) {
          if (more !== undefined) span.setAttributes(more);
          if (failed) span.setStatus({ code: api.SpanStatusCode.ERROR });
          span.end(at);
        },
      };
    },
    close: () => provider.shutdown(),
  };
}

/** The exporter, for a processor that would otherwise tell a global handler, or fail the stop of the process. */
function withoutFailures(exporter: SpanExporter, onTrouble: (error: Error) => void): SpanExporter {
  let isFailing = false;
  return {
    export: (spans, done) => {
      exporter.export(spans, ({ error }) => {
        if (error !== undefined && !isFailing) onTrouble(error);
        isFailing = error !== undefined;
        done({ code: 0 });
      });
    },
    shutdown: () => exporter.shutdown(),
  };
}
