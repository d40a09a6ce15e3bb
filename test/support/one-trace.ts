import { expect, vi } from 'vitest';
import type { OtlpReceiver, ReceivedSpan } from './otlp-receiver.js';

export const TRACE = '0af7651916cd43dd8448eb211c80319c';
const CALLER = 'b7ad6b7169203331';

/** Creates an account, in the trace of a caller that has decided whether it is recorded; answers its position. */
export async function createTracedAccount(url: string, flags: '00' | '01'): Promise<string> {
  const answer = await fetch(`${url}/v1/accounts`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      'idempotency-key': 'a1',
      traceparent: `00-${TRACE}-${CALLER}-${flags}`,
    },
    body: '{"accountId":"alice"}',
  });
  expect(answer.status).toBe(201);
  return answer.headers.get('ledger-position') ?? '';
}

/** The one span of that name. */
export function spanNamed({ spans }: OtlpReceiver, name: string): ReceivedSpan {
  const found = spans.filter((span) => span.name === name && span.traceId === TRACE);
  expect(found, name).toHaveLength(1);
  return found[0] as ReceivedSpan;
}

/**
 * Waits for the spans of what `createTracedAccount` did, from the request to the read models, and looks at who caused whom.
 *
 * @returns what the event says caused it: the request
 */
export async function expectOneTrace(receiver: OtlpReceiver, system: 'postgresql' | 'kafka'): Promise<string> {
  const names = ['POST /v1/accounts', 'append', 'deliver', 'project'] as const;
  await vi.waitFor(() => expect(new Set(receiver.spans.map(({ name }) => name))).toEqual(new Set(names)), {
    timeout: 30_000,
    interval: 100,
  });
  const [server, append, deliver, project] = names.map((name) => spanNamed(receiver, name)) as [
    ReceivedSpan,
    ReceivedSpan,
    ReceivedSpan,
    ReceivedSpan,
  ];
  expect(server).toMatchObject({ kind: 2, parentSpanId: CALLER, status: 0 });
  expect(server.attributes).toMatchObject({ 'http.route': '/v1/accounts', 'http.response.status_code': 201 });
  expect(append).toMatchObject({ kind: 3, parentSpanId: server.spanId });
  expect(append.attributes).toMatchObject({ 'tallystick.stream': 'account-alice', 'tallystick.result': 'appended' });
  expect(deliver).toMatchObject({ kind: 5, parentSpanId: server.spanId });
  expect(deliver.attributes).toMatchObject({
    'messaging.system': system,
    'tallystick.position': append.attributes['tallystick.position'],
  });
  expect(project).toMatchObject({ kind: 1, parentSpanId: deliver.spanId });
  for (const { startNs, endNs } of receiver.spans) expect(endNs >= startNs).toBe(true);
  return `00-${TRACE}-${server.spanId}-01`;
}
