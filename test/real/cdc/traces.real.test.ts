import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { eventually, newLedger, openBench, type CdcBench } from '../../support/cdc-ledger.js';
import { startStandIn, type StandIn } from '../../support/eventstoredb/stand-in.js';
import { startLedgerProcess, type LedgerProcess } from '../../support/ledger-process.js';
import { createTracedAccount, expectOneTrace, spanNamed } from '../../support/one-trace.js';
import { startOtlpReceiver, type OtlpReceiver } from '../../support/otlp-receiver.js';

let bench: CdcBench;
let events: StandIn;
let receiver: OtlpReceiver;
let dataDir: string;
const running: LedgerProcess[] = [];

beforeEach(async () => {
  bench = openBench();
  [events, receiver] = await Promise.all([startStandIn(), startOtlpReceiver()]);
  dataDir = mkdtempSync(join(tmpdir(), 'tallystick-traces-'));
});

afterEach(async () => {
  for (const process of running.splice(0).reverse()) await process.stop();
  await Promise.all([events.stop(), receiver.close(), bench.close()]);
  rmSync(dataDir, { recursive: true, force: true });
});

async function start(role: string, ledger: string): Promise<string> {
  const process = await startLedgerProcess({
    ...bench.stack.env(),
    DATA_DIR: dataDir,
    LEDGER: ledger,
    KAFKA_GROUP: ledger,
    BITCOIN_SOURCE: 'builtin',
    BITCOIN_RPC_URL: '',
    EVENT_STORE: 'eventstoredb',
    EVENTSTOREDB_URL: events.url,
    OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url,
    OTEL_SERVICE_NAME: role.split(',')[0] ?? '',
    ROLE: role,
  });
  running.push(process);
  return process.url;
}

async function metric(url: string, name: string): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text();
  const values = text
    .split('\n')
    .filter((line) => line.startsWith(`tallystick_${name}`))
    .map((line) => Number(line.split(' ').at(-1)));
  return values.reduce((sum, value) => sum + value, 0);
}

describe('a trace', () => {
  it('is one from the request through EventStoreDB, relay, outbox, Debezium and Kafka to the read models', async () => {
    const ledger = newLedger();
    await start('relay', ledger);
    const projector = await start('projector', ledger);
    const api = await start('api,follower,workflow', ledger);
    await eventually('the projector reads from Kafka, and has read all', async () => {
      const consuming = await metric(projector, 'kafka_state{state="consuming"}');
      const assigned = await metric(projector, 'kafka_partitions_assigned');
      return consuming === 1 && assigned > 0 && (await metric(projector, 'projection_lag_events')) === 0;
    });
    const healed = await metric(projector, 'feed_events_healed_total');
    await createTracedAccount(api, '01');
    const traceparent = await expectOneTrace(receiver, 'kafka');
    // Through Kafka, not past it.
    expect(await metric(projector, 'feed_events_healed_total')).toBe(healed);
    expect(spanNamed(receiver, 'append').attributes['db.system.name']).toBe('eventstoredb');
    expect(spanNamed(receiver, 'project').service).toBe('projector');
    const { rows } = await bench.pool.query<{ traceparent: string }>(
      "SELECT traceparent FROM outbox WHERE ledger = $1 AND stream = 'account-alice'",
      [ledger],
    );
    expect(rows).toEqual([{ traceparent }]);
    expect(receiver.bad).toEqual([]);
  });
});
