import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openProcess, type RunningProcess } from '../../src/app/open-process.js';
import { readConfig } from '../../src/platform/config.js';
import { createLogger } from '../../src/platform/logger.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { createLedgerClient } from '../support/ledger-client.js';
import { createTracedAccount, expectOneTrace, spanNamed, TRACE } from '../support/one-trace.js';
import { startOtlpReceiver, type OtlpReceiver } from '../support/otlp-receiver.js';

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

async function recordedTraceparent(): Promise<string | undefined> {
  const { rows } = await database.pool.query<{ traceparent: string }>(
    "SELECT traceparent FROM outbox WHERE stream = 'account-alice'",
  );
  return rows[0]?.traceparent;
}

describe('traces', () => {
  it('are one for a command, from the request to the read models', async () => {
    const { url } = await start({ OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url });
    await createTracedAccount(url, '01');
    // What the event says caused it is the request, not the caller of the request.
    expect(await recordedTraceparent()).toBe(await expectOneTrace(receiver, 'postgresql'));
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
    await createTracedAccount(url, '01');
    await expectOneTrace(receiver, 'postgresql');
    expect(spanNamed(receiver, 'append').service).toBe('tallystick-api');
    expect(spanNamed(receiver, 'project').service).toBe('tallystick-projector');
  });

  it('are not made for a caller that does not record its own, and are carried on all the same', async () => {
    const { url } = await start({ OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url });
    const position = await createTracedAccount(url, '00');
    expect(await recordedTraceparent()).toMatch(new RegExp(`^00-${TRACE}-[0-9a-f]{16}-00$`));
    // A request that is recorded comes after it: by then the first would have been sent.
    await createLedgerClient(url).get('/v1/accounts/alice', { 'ledger-min-position': position });
    await running.splice(0)[0]?.close();
    expect(receiver.spans.map(({ name }) => name)).toEqual(['GET /v1/accounts/:accountId']);
  });

  it('cost a process nothing but the spans where the receiver is away', async () => {
    await receiver.close();
    const { url } = await start({ OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url });
    const position = await createTracedAccount(url, '01');
    const client = createLedgerClient(url);
    const { status } = await client.get('/v1/accounts/alice', { 'ledger-min-position': position });
    expect(status).toBe(200);
  });
});
