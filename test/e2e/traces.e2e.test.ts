import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { openProcess, type RunningProcess } from '../../src/app/open-process.js';
import { readConfig } from '../../src/platform/config.js';
import { createLogger } from '../../src/platform/logger.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { createLedgerClient } from '../support/ledger-client.js';
import { startOtlpReceiver, type OtlpReceiver, type ReceivedSpan } from '../support/otlp-receiver.js';

let database: TestDatabase;
let receiver: OtlpReceiver;
let dataDir: string;
const running: RunningProcess[] = [];

beforeEach(async () => {
  [database, receiver] = await Promise.all([createTestDatabase(), startOtlpReceiver()]);
  dataDir = mkdtempSync(join(tmpdir(), 'tallystick-traces-'));
});

afterEach(async () => {
  for (const process of running.splice(0).reverse()) await process.close();
  await receiver.close();
  await database.drop();
  rmSync(dataDir, { recursive: true, force: true });
  expect(receiver.bad).toEqual([]);
});

async function start(environment: Record<string, string>): Promise<RunningProcess> {
  const config = readConfig({ PORT: '0', DATABASE_URL: database.url, DATA_DIR: dataDir, ...environment });
  const fail = (error: unknown): never => {
    throw error;
  };
  const process = await openProcess(config, { logger: createLogger('silent'), onFatal: fail });
  running.push(process);
  return process;
}

const TRACE = '0af7651916cd43dd8448eb211c80319c';
const CALLER = 'b7ad6b7169203331';

/** Creates an account, in the trace of a caller that has decided whether it is recorded; answers its position. */
async function createAccount(url: string, flags: '00' | '01'): Promise<string> {
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

function named(name: string): ReceivedSpan {
  const found = receiver.spans.filter((span) => span.name === name && span.traceId === TRACE);
  expect(found, name).toHaveLength(1);
  return found[0] as ReceivedSpan;
}

async function expectOneTrace(): Promise<void> {
  const names = ['POST /v1/accounts', 'append', 'deliver', 'project'];
  await vi.waitFor(() => expect(new Set(receiver.spans.map(({ name }) => name))).toEqual(new Set(names)), 10_000);
  const [server, append, deliver, project] = names.map(named) as [
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
    'messaging.system': 'postgresql',
    'tallystick.position': append.attributes['tallystick.position'],
  });
  expect(project).toMatchObject({ kind: 1, parentSpanId: deliver.spanId });
  for (const { startNs, endNs } of receiver.spans) expect(endNs >= startNs).toBe(true);
  // What the event says caused it is the request, not the caller of the request.
  const { rows } = await database.pool.query<{ traceparent: string }>(
    "SELECT traceparent FROM outbox WHERE stream = 'account-alice'",
  );
  expect(rows).toEqual([{ traceparent: `00-${TRACE}-${server.spanId}-01` }]);
}

describe('traces', () => {
  it('are one for a command, from the request to the read models', async () => {
    const { url } = await start({ OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url });
    await createAccount(url, '01');
    await expectOneTrace();
    expect(receiver.spans.every(({ service }) => service === 'tallystick')).toBe(true);
  });

  it('are one across processes', async () => {
    const endpoint = { OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url };
    await start({ ...endpoint, ROLE: 'projector', OTEL_SERVICE_NAME: 'tallystick-projector' });
    const { url } = await start({
      ...endpoint,
      ROLE: 'api,follower,workflow',
      OTEL_SERVICE_NAME: 'tallystick-api',
    });
    await createAccount(url, '01');
    await expectOneTrace();
    expect(named('append').service).toBe('tallystick-api');
    expect(named('project').service).toBe('tallystick-projector');
  });

  it('are not made for a caller that does not record its own, and are carried on all the same', async () => {
    const { url } = await start({ OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url });
    const position = await createAccount(url, '00');
    const { rows } = await database.pool.query<{ traceparent: string }>(
      "SELECT traceparent FROM outbox WHERE stream = 'account-alice'",
    );
    expect(rows[0]?.traceparent).toMatch(new RegExp(`^00-${TRACE}-[0-9a-f]{16}-00$`));
    // A request that is recorded comes after it: by then the first would have been sent.
    await createLedgerClient(url).get('/v1/accounts/alice', { 'ledger-min-position': position });
    await running.splice(0)[0]?.close();
    expect(receiver.spans.map(({ name }) => name)).toEqual(['GET /v1/accounts/:accountId']);
  });

  it('cost a process nothing but the spans where the receiver is away', async () => {
    await receiver.close();
    const { url } = await start({ OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url });
    const position = await createAccount(url, '01');
    const client = createLedgerClient(url);
    const { status } = await client.get('/v1/accounts/alice', { 'ledger-min-position': position });
    expect(status).toBe(200);
  });
});
