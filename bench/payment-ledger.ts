import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type pg from 'pg';
import { createCommandReads } from '../src/app/command-reads.js';
import { createLocalKeys, type LocalKeys } from '../src/bitcoin/keys/local-keys.js';
import { createCommandParts, type CommandParts } from '../src/command/command-parts.js';
import { createLedgerCommands, type LedgerCommands } from '../src/command/ledger-commands.js';
import { createPostgresCommandLog } from '../src/command/postgres-command-log.js';
import type { BlockConnected, Found } from '../src/domain/events/chain-events.js';
import { deterministicUuid } from '../src/domain/event-id.js';
import { newEvents } from '../src/domain/new-event.js';
import type { EventStore } from '../src/eventstore/event-store.js';
import { createPostgresEventStore } from '../src/eventstore/postgres-event-store.js';
import type { Outbox, OutboxFeed } from '../src/outbox/outbox.js';
import { createPostgresFeed } from '../src/outbox/postgres-feed.js';
import { createPostgresOutbox } from '../src/outbox/postgres-outbox.js';
import { migrate } from '../src/platform/postgres/migrate.js';
import { createPool } from '../src/platform/postgres/pool.js';
import { ALL_PROJECTIONS } from '../src/projections/all-projections.js';
import { createPayoutWork } from '../src/projections/read/payout-work.js';
import { rebuildProjections } from '../src/projections/rebuild/rebuild-projections.js';
import { createProjectionRunner } from '../src/projections/runner/projection-runner.js';
import type { PayoutWork } from '../src/workflow/ports.js';

export const LEDGER = 'bench';
const NETWORK = 'regtest';
const STREAM = `chain-${NETWORK}`;
const WAIT_MS = 30_000;

/** What pays withdrawals, but for the workflow itself; blocks are written straight to the chain's stream. */
export interface PaymentLedger {
  pool: pg.Pool;
  store: EventStore;
  outbox: Outbox;
  feed: OutboxFeed;
  work: PayoutWork;
  keys: LocalKeys;
  parts: CommandParts;
  commands: LedgerCommands;
  /** Appends the next block, and waits until it can be read. */
  connect: (found: Found) => Promise<void>;
  /** Until everything that is written can be read. */
  readable: () => Promise<void>;
  close: () => Promise<void>;
}

/**
 * A ledger in a new database of a server.
 *
 * @param fill writes a log before the read models are built; the chain's stream must begin with it
 */
export async function openPaymentLedger(
  serverUrl: string,
  database: string,
  fill: (pool: pg.Pool) => Promise<void>,
): Promise<PaymentLedger> {
  const url = new URL(serverUrl);
  url.pathname = `/${database}`;
  const admin = createPool(serverUrl, { max: 1 });
  await admin.query(`CREATE DATABASE ${database}`);
  await admin.end();
  await migrate(url.toString());
  const pool = createPool(url.toString(), { max: 20 });
  await fill(pool);
  await rebuildProjections({ pool, ledger: LEDGER, projections: ALL_PROJECTIONS });
  await pool.query('VACUUM ANALYZE');
  const feed = createPostgresFeed({ pool, ledger: LEDGER });
  const store = createPostgresEventStore({
    pool,
    ledger: LEDGER,
    onCommitted: (batch) => {
      feed.committed(batch);
    },
  });
  const outbox = createPostgresOutbox({ pool, ledger: LEDGER });
  const runner = createProjectionRunner({
    pool,
    ledger: LEDGER,
    feed,
    projections: ALL_PROJECTIONS,
    rebuild: (names) => rebuildProjections({ pool, ledger: LEDGER, projections: ALL_PROJECTIONS, names }),
  });
  await runner.start();
  const directory = mkdtempSync(join(tmpdir(), 'tallystick-bench-keys-'));
  const keys = createLocalKeys({ directory, network: NETWORK, randomBytes });
  const parts = createCommandParts({
    ledger: LEDGER,
    network: NETWORK,
    store,
    reads: createCommandReads(pool, LEDGER, runner),
    log: createPostgresCommandLog({ pool, outbox }),
    keys,
    sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
  });
  const readable = async (): Promise<void> => {
    const head = await outbox.head();
    const reached = await runner.waitFor(head, undefined, WAIT_MS);
    if (reached >= head) return;
    const halted = (await runner.status()).flatMap(({ name, state, reason }) =>
      state === 'live' ? [] : [`${name} is ${state}: ${reason ?? ''}`],
    );
    throw new Error(`read models stopped at ${reached} of ${head}; ${halted.join(', ')}`);
  };
  let tip = await readTip(pool);
  return {
    pool,
    store,
    outbox,
    feed,
    work: createPayoutWork({ database: pool, ledger: LEDGER, progress: runner }),
    keys,
    parts,
    commands: createLedgerCommands(parts),
    connect: async (found) => {
      const height = tip.height + 1;
      const hash = hashAt(height);
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
      const events = newEvents([{ type: 'BlockConnected', data }], {
        ledger: LEDGER,
        key: deterministicUuid('block', height),
        metadata: {},
      });
      const result = await store.append({ stream: STREAM, expectedRevision: tip.revision, events });
      if (result.kind !== 'appended') throw new Error(`a block was refused: ${result.kind}`);
      tip = { height, hash, revision: tip.revision + 1n };
      await readable();
    },
    readable,
    close: async () => {
      await store.close();
      await runner.stop();
      await feed.close();
      await pool.end();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** The hash of the block at a height, as this module's blocks have it. */
export function hashAt(height: number): string {
  return height.toString(16).padStart(64, '0');
}

async function readTip(pool: pg.Pool): Promise<{ height: number; hash: string; revision: bigint }> {
  const { rows } = await pool.query<{ revision: bigint; height: number; hash: string }>(
    `SELECT (SELECT max(revision) FROM outbox WHERE ledger = $1 AND stream = $2) AS revision,
            (data->>'height')::int AS height, data->>'hash' AS hash
       FROM outbox WHERE ledger = $1 AND stream = $2 AND type IN ('ChainOpened', 'BlockConnected') ORDER BY outbox.revision DESC LIMIT 1`,
    [LEDGER, STREAM],
  );
  const [tip] = rows;
  if (tip === undefined) throw new Error('the chain is not open');
  return tip;
}
