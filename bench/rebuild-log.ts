import { createHash } from 'node:crypto';
import { EVENT_TYPES, type EventType } from '../src/domain/events/event-types.js';
import { pipeline } from 'node:stream/promises';
import { Readable } from 'node:stream';
import type pg from 'pg';
import { from as copyFrom } from 'pg-copy-streams';
import type { Found, Received } from '../src/domain/events/chain-events.js';

/** Events between two blocks, the block included: transfers between accounts. */
const EVENTS_PER_BLOCK = 100;
const DEPOSITS_PER_BLOCK = 20;
const ACCOUNTS = 10_000;
/** Every so many blocks the tip is taken off and replaced by a block with the same transactions. */
const BLOCKS_PER_REORG = 50;
/** Rows per COPY: one run of the table's triggers. */
const CHUNK_ROWS = 20_000;

/**
 * Fills the log of a ledger with `count` events: 10,000 accounts, then blocks of 20 deposits, with 99 transfers between accounts after
 * each, and a reorg every 50 blocks.
 *
 * @param chunkRows events in a transaction
 */
export async function fillLog(
  client: pg.ClientBase,
  ledger: string,
  count: number,
  chunkRows = CHUNK_ROWS,
): Promise<void> {
  await client.query(`INSERT INTO ledger_head VALUES ($1, 0, 'epoch') ON CONFLICT (ledger) DO NOTHING`, [ledger]);
  let chunk: string[] = [];
  for (const line of logLines(ledger, count)) {
    chunk.push(line);
    if (chunk.length < chunkRows) continue;
    await writeLines(client, chunk);
    chunk = [];
  }
  await writeLines(client, chunk);
  await client.query('ANALYZE outbox');
}

/** Writes lines of a log in one transaction. */
export async function writeLines(client: pg.ClientBase, lines: readonly string[]): Promise<void> {
  if (lines.length === 0) return;
  const sql =
    'COPY outbox (ledger, position, id, stream, revision, type, schema_version, data, metadata, recorded_at) FROM STDIN';
  await pipeline(Readable.from([lines.join('')]), client.query(copyFrom(sql)));
}

/** The log as lines of COPY. */
export function* logLines(ledger: string, count: number): Iterable<string> {
  const revisions = new Map<string, number>();
  const ids = createHash('sha256').update(ledger).digest('hex').slice(0, 8);
  let position = 0;
  const line = (stream: string, type: EventType, data: unknown): string => {
    position += 1;
    const revision = revisions.get(stream) ?? 0;
    revisions.set(stream, revision + 1);
    const id = `${ids}-0000-8000-8000-${position.toString(16).padStart(12, '0')}`;
    const metadata = { idempotencyKey: `key-${position}`, correlationId: id };
    const time = new Date(Date.UTC(2026, 0, 1) + position).toISOString();
    return `${ledger}\t${position}\t${id}\t${stream}\t${revision}\t${type}\t${EVENT_TYPES[type].schemaVersion}\t${JSON.stringify(data)}\t${JSON.stringify(metadata)}\t${time}\n`;
  };
  const network = 'regtest';
  yield line('chain-regtest', 'ChainOpened', {
    network,
    hash: hash(0, 0),
    height: 0,
    prevHash: null,
    time: null,
    bits: null,
  });
  yield line('chain-regtest', 'DepositPolicySet', { network, depositConfirmations: 6, coinbaseMaturity: 100 });
  for (let i = 0; i < ACCOUNTS && position < count; i += 1) {
    yield line(`account-a${i}`, 'AccountOpened', { accountId: `a${i}`, metadata: {} });
  }
  let height = 0;
  let tip = hash(0, 0);
  let random = 42;
  const next = (below: number): number => {
    // A linear congruence: every run has the same log.
    random = (Math.imul(random, 1_103_515_245) + 12_345) & 0x7fffffff;
    return random % below;
  };
  const connect = (variant: number, found: Found): string => {
    const block = hash(height, variant);
    const data = { network, hash: block, height, prevHash: tip, time: 1_700_000_000 + height, bits: 0x207fffff };
    const text = line('chain-regtest', 'BlockConnected', {
      ...data,
      size: 1e6,
      transactionCount: 2000,
      parts: 0,
      found,
    });
    tip = block;
    return text;
  };
  while (position < count) {
    height += 1;
    const found = deposits(height, next);
    const before = tip;
    const revision = revisions.get('chain-regtest') ?? 0;
    yield connect(1, found);
    if (height % BLOCKS_PER_REORG === 0) {
      const data = { network, hash: tip, height, prevHash: before, connectedRevision: revision };
      yield line('chain-regtest', 'BlockDisconnected', data);
      tip = before;
      yield connect(2, found);
    }
    for (let i = 1; i < EVENTS_PER_BLOCK && position < count; i += 1) {
      const from = next(ACCOUNTS);
      const to = (from + 1 + next(ACCOUNTS - 1)) % ACCOUNTS;
      const amountSats = String(1 + next(1_000));
      yield line(`account-a${from}`, 'TransferSent', {
        transferId: `t${position}`,
        fromAccountId: `a${from}`,
        toAccountId: `a${to}`,
        amountSats,
        postings: [
          { book: `account:a${from}`, amountSats },
          { book: `account:a${to}`, amountSats: `-${amountSats}` },
        ],
      });
    }
  }
}

function deposits(height: number, next: (below: number) => number): Found {
  const received = Array.from({ length: DEPOSITS_PER_BLOCK }, (_, index): Received => {
    const account = next(ACCOUNTS);
    return {
      txid: hash(height, 1000 + index),
      vout: 0,
      amountSats: String(100_000 + next(100_000)),
      script: `0014${hash(account, 7).slice(0, 40)}`,
      address: `bcrt1q${hash(account, 7).slice(0, 38)}`,
      walletId: 'w',
      accountId: `a${account}`,
      coinbase: false,
      derivation: { branch: 0, index: account },
      payoutId: null,
    };
  });
  const funding = received.map(({ txid }, index) => ({ txid, inputs: [`${hash(height, 5000 + index)}:1`] }));
  return { received, spent: [], funding, conflicts: [] };
}

/** 64 hex digits that differ for each pair. Not a digest: that would cost more than everything else here. */
function hash(a: number, b: number): string {
  const text =
    (Math.imul(a + 1, 0x9e3779b1) >>> 0).toString(16).padStart(8, '0') +
    (Math.imul(b + 1, 0x85ebca6b) >>> 0).toString(16).padStart(8, '0');
  return text.repeat(3) + a.toString(16).padStart(8, '0') + b.toString(16).padStart(8, '0');
}
