import { createHash } from 'node:crypto';
import type pg from 'pg';
import type { BlockConnected, Found } from '../src/domain/events/chain-events.js';
import { EVENT_TYPES, type EventType } from '../src/domain/events/event-types.js';
import type { EventStore, NewEvent } from '../src/eventstore/event-store.js';
import { createPostgresEventStore } from '../src/eventstore/postgres-event-store.js';
import { createPostgresFeed } from '../src/outbox/postgres-feed.js';
import { migrate } from '../src/platform/postgres/migrate.js';
import { createPool } from '../src/platform/postgres/pool.js';
import { ALL_PROJECTIONS } from '../src/projections/all-projections.js';
import { rebuildProjections } from '../src/projections/rebuild/rebuild-projections.js';
import { createProjectionRunner, type ProjectionRunner } from '../src/projections/runner/projection-runner.js';
import { startTemporaryPostgres } from '../test/support/postgres-server.js';
import type { BenchRow } from './bench-row.js';
import { fillLog } from './rebuild-log.js';

const LEDGER = 'bench';
const NETWORK = 'regtest';
const STREAM = `chain-${NETWORK}`;
const CLIENTS = 50;
const REORG_DEPTH = 6;
const DEPOSITS_PER_BLOCK = 200;
const WAIT_MS = 60_000;
/** One sample is a third of a second, and another program can double it: several in each round. */
const EVENT_SAMPLES = 3;
const FLAT_GOAL = 1.1;
const REORG_GOAL = 2;

/** A ledger with a log of a given length and live read models. */
interface Grown {
  events: number;
  store: EventStore;
  runner: ProjectionRunner;
  tip: { height: number; hash: string; revision: bigint };
  nextKey: number;
  close(): Promise<void>;
}

/**
 * What an event costs, appended durably and taken into every read model, on a short and on a long log; and a reorg six deep against
 * connecting the same blocks. The two logs take turns, so that what else the machine does hits both; medians of the rounds.
 */
export async function runGrowthBench({ quick }: { quick: boolean }): Promise<BenchRow[]> {
  const [few, many] = quick ? [20_000, 200_000] : [100_000, 10_000_000];
  const rounds = quick ? 5 : 9;
  const eventsPerRound = quick ? 1_000 : 3_000;
  const server = await startTemporaryPostgres([]);
  const opened: Grown[] = [];
  try {
    for (const events of [few, many]) opened.push(await grow(server.url, events));
    const [short, long] = opened as [Grown, Grown];
    const times = { event: [[], []], connect: [[], []], reorg: [[], []] } as Record<string, [number[], number[]]>;
    for (let round = 0; round <= rounds; round += 1) {
      for (const [index, ledger] of [short, long].entries()) {
        const samples: number[] = [];
        while (samples.length < EVENT_SAMPLES) {
          samples.push((await timed(() => transfer(ledger, eventsPerRound))) / eventsPerRound);
        }
        const connect = await timed(() => connectBlocks(ledger));
        const reorg = await timed(() => replaceBlocks(ledger));
        // The first round warms caches and plans.
        if (round === 0) continue;
        times['event']?.[index]?.push(...samples);
        times['connect']?.[index]?.push(connect);
        times['reorg']?.[index]?.push(reorg);
      }
    }
    const of = (what: string, index: 0 | 1): number => median(times[what]?.[index] ?? []);
    const name = (events: number): string => events.toLocaleString('en');
    const flat = (what: string, label: string, unit: (ms: number) => string): BenchRow => {
      const ratio = of(what, 1) / of(what, 0);
      return {
        bench: 'growth',
        measure: `${label} at ${name(many)} events`,
        value: unit(of(what, 1)),
        reference: `at ${name(few)} events: ${unit(of(what, 0))}`,
        ratio,
        goal: `≤ ${FLAT_GOAL}`,
        met: ratio <= FLAT_GOAL,
      };
    };
    const reorgRatio = of('reorg', 1) / of('connect', 1);
    return [
      flat('event', 'an event, appended and readable', (ms) => `${(ms * 1000).toFixed(0)} µs`),
      flat('reorg', `a reorg of ${REORG_DEPTH} blocks`, (ms) => `${ms.toFixed(1)} ms`),
      {
        bench: 'growth',
        measure: `a reorg of ${REORG_DEPTH} blocks with ${DEPOSITS_PER_BLOCK} deposits each, at ${name(many)} events`,
        value: `${of('reorg', 1).toFixed(1)} ms`,
        reference: `connecting the same blocks: ${of('connect', 1).toFixed(1)} ms`,
        ratio: reorgRatio,
        goal: `≤ ${REORG_GOAL}`,
        met: reorgRatio <= REORG_GOAL,
      },
    ];
  } finally {
    for (const ledger of opened) await ledger.close();
    await server.stop();
  }
}

async function grow(serverUrl: string, events: number): Promise<Grown> {
  const url = new URL(serverUrl);
  url.pathname = `/grown_${events}`;
  const admin = createPool(serverUrl, { max: 1 });
  await admin.query(`CREATE DATABASE grown_${events}`);
  await admin.end();
  await migrate(url.toString());
  const pool = createPool(url.toString(), { max: 16 });
  const client = await pool.connect();
  await fillLog(client, LEDGER, events);
  client.release();
  await rebuildProjections({ pool, ledger: LEDGER, projections: ALL_PROJECTIONS });
  await pool.query('VACUUM ANALYZE');
  await pool.query('CHECKPOINT');
  const feed = createPostgresFeed({ pool, ledger: LEDGER });
  const store = createPostgresEventStore({
    pool,
    ledger: LEDGER,
    onCommitted: (batch) => {
      feed.committed(batch);
    },
  });
  const runner = createProjectionRunner({
    pool,
    ledger: LEDGER,
    feed,
    projections: ALL_PROJECTIONS,
    rebuild: (names) => rebuildProjections({ pool, ledger: LEDGER, projections: ALL_PROJECTIONS, names }),
  });
  await runner.start();
  return {
    events,
    store,
    runner,
    tip: await readTip(pool),
    nextKey: 0,
    close: async () => {
      await store.close();
      await runner.stop();
      await feed.close();
      await pool.end();
    },
  };
}

async function readTip(pool: pg.Pool): Promise<Grown['tip']> {
  const { rows } = await pool.query<{ revision: bigint; data: BlockConnected }>(
    `SELECT revision, data FROM outbox WHERE ledger = $1 AND stream = $2 ORDER BY revision DESC LIMIT 1`,
    [LEDGER, STREAM],
  );
  const last = rows[0];
  if (last === undefined) throw new Error('the log has no block');
  return { height: last.data.height, hash: last.data.hash, revision: last.revision };
}

/** Clients that each open an account of their own and send from it, one event at a time. */
async function transfer(ledger: Grown, count: number): Promise<void> {
  const positions = await Promise.all(
    Array.from({ length: CLIENTS }, async (_, client) => {
      const accountId = `g${ledger.nextKey}-${client}`;
      let position: bigint | null = null;
      for (let i = 0; i < count / CLIENTS; i += 1) {
        const event =
          i === 0
            ? newEvent(ledger, accountId, 'AccountOpened', { accountId, metadata: {} })
            : newEvent(
                ledger,
                `${accountId}-${i}`,
                'TransferSent',
                sent(accountId, `a${(client * 131 + i * 17) % 9_000}`, i),
              );
        position = await append(ledger, `account-${accountId}`, i === 0 ? 'no-stream' : BigInt(i - 1), [event]);
      }
      return position ?? 0n;
    }),
  );
  ledger.nextKey += 1;
  await readable(
    ledger,
    positions.reduce((a, b) => (a > b ? a : b)),
  );
}

function sent(from: string, to: string, i: number): unknown {
  const amountSats = '1';
  return {
    transferId: `${from}-${i}`,
    fromAccountId: from,
    toAccountId: to,
    amountSats,
    postings: [
      { book: `account:${from}`, amountSats },
      { book: `account:${to}`, amountSats: `-${amountSats}` },
    ],
  };
}

let blocks: { hash: string; found: Found; connectedRevision: bigint }[] = [];

async function connectBlocks(ledger: Grown): Promise<void> {
  blocks = [];
  let position = 0n;
  for (let i = 0; i < REORG_DEPTH; i += 1) {
    const seed = `${ledger.events}-${ledger.nextKey}-${i}`;
    position = await connect(ledger, digest(seed), deposits(seed));
  }
  await readable(ledger, position);
}

/** Takes the six blocks off and puts six others on with the same transactions. */
async function replaceBlocks(ledger: Grown): Promise<void> {
  const old = blocks;
  const events: NewEvent[] = [];
  let { height } = ledger.tip;
  for (let i = old.length - 1; i >= 0; i -= 1) {
    const { hash, connectedRevision } = old[i] as (typeof old)[number];
    const prevHash = old[i - 1]?.hash ?? forkHash;
    const data = { network: NETWORK, hash, height, prevHash, connectedRevision: Number(connectedRevision) };
    events.push(newEvent(ledger, `off-${hash}`, 'BlockDisconnected', data));
    height -= 1;
  }
  await append(ledger, STREAM, ledger.tip.revision, events);
  ledger.tip = { height, hash: forkHash, revision: ledger.tip.revision + BigInt(events.length) };
  blocks = [];
  let position = 0n;
  for (const { hash, found } of old) position = await connect(ledger, digest(`${hash}-again`), found);
  await readable(ledger, position);
}

let forkHash = '';

async function connect(ledger: Grown, hash: string, found: Found): Promise<bigint> {
  const { tip } = ledger;
  if (blocks.length === 0) forkHash = tip.hash;
  const height = tip.height + 1;
  const data: BlockConnected = {
    network: NETWORK,
    hash,
    height,
    prevHash: tip.hash,
    time: 1_700_000_000 + height,
    bits: 0x207fffff,
    size: 1_000_000,
    transactionCount: 2_000,
    parts: 0,
    found,
  };
  const position = await append(ledger, STREAM, tip.revision, [newEvent(ledger, `on-${hash}`, 'BlockConnected', data)]);
  ledger.tip = { height, hash, revision: tip.revision + 1n };
  blocks.push({ hash, found, connectedRevision: ledger.tip.revision });
  return position;
}

function deposits(seed: string): Found {
  const received = Array.from({ length: DEPOSITS_PER_BLOCK }, (_, i) => ({
    txid: digest(`${seed}-${i}`),
    vout: 0,
    amountSats: String(1_000 + i),
    script: `0014${digest(`script-${i}`).slice(0, 40)}`,
    address: null,
    walletId: 'w',
    accountId: `a${i * 37}`,
    coinbase: false,
    derivation: null,
    payoutId: null,
  }));
  const funding = received.map(({ txid }) => ({ txid, inputs: [`${digest(`${txid}-in`)}:0`] }));
  return { received, spent: [], funding, conflicts: [] };
}

function newEvent(ledger: Grown, key: string, type: EventType, data: unknown): NewEvent {
  const hex = digest(`${ledger.events}-${key}-${ledger.nextKey}-${ledger.tip.revision}`);
  const id = `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
  return { id, type, schemaVersion: EVENT_TYPES[type].schemaVersion, data, metadata: {} };
}

async function append(
  ledger: Grown,
  stream: string,
  expectedRevision: bigint | 'no-stream',
  events: NewEvent[],
): Promise<bigint> {
  const result = await ledger.store.append({ stream, expectedRevision, events });
  if (result.kind !== 'appended' || result.position === null) throw new Error(`append to ${stream}: ${result.kind}`);
  return result.position;
}

async function readable(ledger: Grown, position: bigint): Promise<void> {
  const reached = await ledger.runner.waitFor(position, undefined, WAIT_MS);
  if (reached < position) throw new Error(`read models stopped at ${reached} of ${position}`);
}

function digest(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

async function timed(work: () => Promise<void>): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[sorted.length >> 1] ?? NaN;
}
