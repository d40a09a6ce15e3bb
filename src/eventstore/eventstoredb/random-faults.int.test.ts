import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import {
  command,
  createDistributedLedger,
  type DistributedLedger,
} from '../../../test/support/eventstoredb/distributed-store.js';
import type { AppendFault } from '../../../test/support/eventstoredb/faults.js';
import { comparePositions } from '../../../test/support/eventstoredb/stored-log.js';
import { RetryableError } from '../../platform/errors.js';
import type { EventStore } from '../event-store.js';
import type { Relay } from '../relay/relay.js';
import { decodeMetadata, FENCE_TYPE } from './stored-metadata.js';

/** `TALLYSTICK_SEEDS=5,6,7` runs others. */
const SEEDS = (process.env['TALLYSTICK_SEEDS'] ?? '1,2,3,4').split(',').map(Number);
const KEYS = 60;
const STREAMS = 3;
/** So short that claims run out, calls time out and the relay is late all the time. */
const HASTY = { callTimeoutMs: 200, appendTimeoutMs: 500, claimTtlMs: 200, relayTimeoutMs: 400, retryMs: 5 };

const BREAKING_MS = 10_000;
/** A client that has no answer so long after everything works again never gets one. */
const PATIENCE_MS = 120_000;

/** mulberry32 */
function createDice(seed: number): (sides: number) => number {
  let state = seed;
  return (sides) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 4_294_967_296) * sides);
  };
}

function randomFault(dice: (sides: number) => number): AppendFault {
  const faults: AppendFault[] = [
    { kind: 'drop-before' },
    { kind: 'drop-after' },
    { kind: 'hang-before' },
    { kind: 'hang-after' },
    { kind: 'timeout', applied: dice(2) === 0 },
    { kind: 'duplicate' },
    { kind: 'slow', ms: dice(200) },
    { kind: 'apply-late', when: sleep(dice(1500)) },
    { kind: 'apply-late', when: sleep(dice(4000)) },
  ];
  return faults[dice(faults.length)] ?? { kind: 'duplicate' };
}

/** Two or three clients for each key, some with another request, each through whichever process, until it has an answer. */
async function runClient(
  key: string,
  request: string,
  { fatal, server }: DistributedLedger,
  stores: readonly EventStore[],
  dice: (sides: number) => number,
  answers: { key: string; request: string; outcome: unknown }[],
): Promise<void> {
  const stream = `account-${dice(STREAMS)}`;
  const untilMs = performance.now() + BREAKING_MS + PATIENCE_MS;
  for (;;) {
    // A relay that has halted keeps its lease: nobody would ever be answered.
    expect(fatal).toEqual([]);
    const store = stores[dice(stores.length)];
    if (store === undefined) throw new Error('there is a store');
    try {
      const length = (await store.readStream(stream, 0n, 1000)).length;
      const expectedRevision = length === 0 ? 'no-stream' : BigInt(length - 1);
      const accepted = command(key, request, { stream, expectedRevision }, 1 + dice(2));
      // What is decided depends on the state: the same command may be accepted now and refused when it comes again.
      const isRejected = (length + key.length) % 3 === 0;
      const outcome = isRejected ? { rejected: request } : { status: 201, request };
      const idempotency = {
        ...accepted.idempotency,
        key,
        requestHash: accepted.idempotency?.requestHash ?? '',
        outcome,
      };
      const result = await store.append({ ...accepted, events: isRejected ? [] : accepted.events, idempotency });
      if (result.kind === 'appended') answers.push({ key, request, outcome });
      if (result.kind === 'key-used') answers.push({ key, request, outcome: result.stored.outcome });
      if (result.kind !== 'wrong-expected-revision') return;
    } catch (error) {
      if (!(error instanceof RetryableError)) throw error;
      if (performance.now() > untilMs) {
        const { length } = server.log.all;
        throw new Error(`${key} (${request}) on ${stream} is never answered; ${length} events`, { cause: error });
      }
      await sleep(dice(50));
    }
  }
}

/** Breaks something now and then until it is told to stop. */
async function breakThings(
  ledger: DistributedLedger,
  dice: (sides: number) => number,
  signal: AbortSignal,
): Promise<void> {
  let relays: Relay[] = [ledger.relay(HURRIED), ledger.relay(HURRIED)];
  // Not for ever: on a busy machine nothing would be done in time.
  const untilMs = performance.now() + BREAKING_MS;
  while (!signal.aborted && performance.now() < untilMs) {
    await sleep(20 + dice(60));
    const { faults } = ledger.server;
    switch (dice(9)) {
      case 0:
      case 1:
      case 2:
      case 3:
      case 4:
      case 5:
        if (faults.appends.length < 5) faults.appends.push(randomFault(dice));
        break;
      case 6:
        ledger.server.dropConnections();
        break;
      case 7: {
        // One relay dies, another is started.
        const [first, ...others] = relays;
        relays = [...others, ledger.relay(HURRIED)];
        await first?.stop();
        break;
      }
      default:
        await ledger.database.ownerPool.query(
          `SELECT pg_terminate_backend(pid) FROM (SELECT pid FROM pg_stat_activity
             WHERE datname = current_database() AND pid <> pg_backend_pid() ORDER BY random() LIMIT 1) victim`,
        );
    }
  }
  ledger.server.faults.appends.length = 0;
}

const HURRIED = { limits: { leaseTtlMs: 500, maxBatchEvents: 5, minRetryMs: 10, maxRetryMs: 100 } };

describe('processes, relays and a network that fail at random', () => {
  it.each(SEEDS)(
    'execute each key once at most, and answer everybody the same (seed %i)',
    async (seed) => {
      const ledger = await createDistributedLedger();
      const dice = createDice(seed);
      const stop = new AbortController();
      try {
        const breaking = breakThings(ledger, dice, stop.signal);
        const stores = Array.from({ length: 3 }, () => ledger.store({ storeLimits: HASTY }));
        const answers: { key: string; request: string; outcome: unknown }[] = [];
        const clients = Array.from({ length: KEYS }, (_, n) => {
          const key = 'k'.repeat(1 + (n % 3)) + n;
          return Array.from({ length: 2 + dice(2) }, (_client, index) => ({
            key,
            request: index === 2 ? `another ${n}` : `request ${n}`,
          }));
        }).flat();
        // Twelve at a time.
        const next = clients.values();
        await Promise.all(
          Array.from({ length: 12 }, async () => {
            for (const { key, request } of next) await runClient(key, request, ledger, stores, dice, answers);
          }),
        );
        stop.abort();
        await breaking;
        // What is still on its way arrives.
        await sleep(4200);
        ledger.relay();
        await check(ledger, answers);
        expect(answers).toHaveLength(clients.length);
      } finally {
        stop.abort();
        await ledger.close();
      }
    },
    300_000,
  );
});

async function check(
  ledger: DistributedLedger,
  answers: readonly { key: string; request: string; outcome: unknown }[],
): Promise<void> {
  const stored = [...ledger.server.log.all]
    .sort(comparePositions)
    .filter(({ stream, type }) => stream.startsWith('tallystick.main.') && type !== FENCE_TYPE);
  await expect.poll(() => ledger.outbox.head(), { timeout: 20_000 }).toBe(BigInt(stored.length));
  expect(ledger.fatal).toEqual([]);
  const events = await ledger.outbox.read(0n, 10_000);
  // The outbox is $all, in its order.
  expect(events.map(({ id }) => id)).toEqual(stored.map(({ id }) => id));
  const revisions = new Map<string, bigint>();
  for (const { stream, revision } of events) {
    expect(revision).toBe((revisions.get(stream) ?? -1n) + 1n);
    revisions.set(stream, revision);
  }
  // Each key has one outcome, which everybody was answered, and the events that it speaks of.
  const { rows } = await ledger.database.pool.query<{ key: string; outcome: unknown; position: bigint | null }>(
    'SELECT key, outcome, position FROM command_outcome',
  );
  const outcomes = new Map(rows.map((row) => [row.key, row]));
  for (const { key, outcome } of answers) expect([key, outcomes.get(key)?.outcome]).toEqual([key, outcome]);
  const appends = new Map<string, Set<string>>();
  stored.forEach(({ metadata }) => {
    const { key = '', append } = decodeMetadata(metadata);
    appends.set(key, (appends.get(key) ?? new Set()).add(append));
  });
  for (const [key, { outcome, position }] of outcomes) {
    expect([key, appends.get(key)?.size ?? 0]).toEqual([key, position === null ? 0 : 1]);
    expect(Object.keys(outcome as object)).toContain(position === null ? 'rejected' : 'status');
    if (position === null) continue;
    const event = events[Number(position) - 1];
    expect(event?.data).toMatchObject({ key, request: (outcome as { request: string }).request });
  }
  for (const key of appends.keys()) expect(outcomes.has(key)).toBe(true);
}
