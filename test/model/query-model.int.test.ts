import fc from 'fast-check';
import { graphql } from 'graphql';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createPostgresOutbox } from '../../src/outbox/postgres-outbox.js';
import { createAsOf } from '../../src/query/as-of.js';
import { buildQuerySchema } from '../../src/query/graphql/build-schema.js';
import { Reader } from '../../src/query/reader.js';
import type { ReaderDeps } from '../../src/query/reader.js';
import { createReadDatabase } from '../../src/query/sql/database.js';
import { createTestDatabase } from '../support/database.js';
import type { TestDatabase } from '../support/database.js';
import { tellLog } from '../support/ledger-log.js';
import type { ToldEvent } from '../support/ledger-log.js';
import { history } from '../support/history-plan.js';
import { tellHistory } from '../support/ledger-model.js';
import { accountAt, coinsAt, oracleAt, transfersAt, walletAt } from '../support/ledger-oracle.js';
import type { OracleState } from '../support/ledger-oracle.js';
import { projectToHead } from '../support/live-read-models.js';

const RUNS = Number(process.env['MODEL_RUNS'] ?? 8);
const SEED = Number(process.env['MODEL_SEED'] ?? Math.trunc(Math.random() * 0x7fffffff));
/** Every position of a short history, every so many of a long one. */
const POSITIONS = 12;

let database: TestDatabase;
const schema = buildQuerySchema();

beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(async () => {
  await database.drop();
});

test(`every answer as of any position, height and block equals the oracle's (seed ${SEED})`, async () => {
  let run = 0;
  await fc.assert(
    fc.asyncProperty(history, async (steps) => {
      run += 1;
      const ledger = `query-${run}`;
      const events = tellHistory(steps);
      await tellLog(database.ownerPool, ledger, events);
      expect(await projectToHead(database.pool, ledger)).toEqual([]);
      const ask = createAsk(ledger, BigInt(events.length));
      const step = Math.max(1, Math.floor(events.length / POSITIONS));
      for (let position = events.length; position > 2; position -= step) await compareAt(ask, events, position);
    }),
    { seed: SEED, numRuns: RUNS, endOnFailure: process.env['MODEL_SHRINK'] === undefined },
  );
}, 600_000);

interface Answer {
  accounts: { edges: { node: Account }[] };
  wallets: { edges: { node: Wallet }[] };
  transfers: { edges: { node: { id: string; status: string; amountSats: string; walletId: string } }[] };
  ledger: { differenceSats: string; customersSats: string; walletsSats: string };
}

interface Account {
  id: string;
  availableSats: string;
  pendingSats: string;
  entries: { edges: { node: { amountSats: string; balanceSats: string } }[] };
}

interface Wallet {
  id: string;
  confirmedSats: string;
  immatureSats: string;
  unconfirmedSats: string;
  coins: { edges: { node: { txid: string; vout: number; amountSats: string; height: number | null } }[] };
}

const QUERY = `query ($asOf: AsOf) {
  accounts(first: 50, asOf: $asOf) { edges { node {
    id availableSats pendingSats entries(first: 500) { edges { node { amountSats balanceSats } } }
  } } }
  wallets(first: 50, asOf: $asOf) { edges { node {
    id confirmedSats immatureSats unconfirmedSats coins(first: 500) { edges { node { txid vout amountSats height } } }
  } } }
  transfers(first: 500, asOf: $asOf) { edges { node { id status amountSats walletId } } }
  ledger(asOf: $asOf) { differenceSats customersSats walletsSats }
}`;

type Ask = (asOf: object) => Promise<Answer>;

function createAsk(ledger: string, head: bigint): Ask {
  const read = createReadDatabase(database.pool, ledger);
  const outbox = createPostgresOutbox({ pool: database.pool, ledger });
  // Everything is projected; nothing moves.
  const readModels: ReaderDeps['readModels'] = {
    reached: () => Promise.resolve(head),
    tipAt: () => undefined,
    waitFor: () => Promise.resolve(head),
    onAdvanced: () => () => undefined,
    status: () => Promise.resolve([]),
  };
  const deps: ReaderDeps = {
    database: read,
    outbox,
    readModels,
    resolveAsOf: createAsOf({ database: read, outbox, readModels }),
  };
  return async (asOf) => {
    const contextValue = { reader: new Reader(deps, ['blocks']) };
    const { data, errors } = await graphql({ schema, source: QUERY, contextValue, variableValues: { asOf } });
    expect(errors, JSON.stringify(asOf)).toBeUndefined();
    return data as unknown as Answer;
  };
}

async function compareAt(ask: Ask, events: readonly ToldEvent[], position: number): Promise<void> {
  const state = oracleAt(events, position);
  compare(await ask({ position: String(position) }), state, state, Infinity);
  for (const { height } of state.chain) {
    compare(await ask({ position: String(position), height }), state, state, height);
  }
  for (const { hash, height } of new Map(state.everConnected.map((block) => [block.hash, block])).values()) {
    // The branch that ended in this block, as it stood when the block was last connected.
    let last = position;
    let branch = state;
    while (!branch.chain.some((block) => block.hash === hash)) {
      last -= 1;
      branch = oracleAt(events, last);
    }
    compare(await ask({ position: String(position), blockHash: hash }), branch, state, height);
  }
}

/** @param chain the oracle where facts of the chain are read  @param books where facts of the books are read */
function compare(answer: Answer, chain: OracleState, books: OracleState, height: number): void {
  for (const { node } of answer.accounts.edges) {
    const { deposited, matured } = accountAt(chain, node.id, height);
    const { received, sent } = accountAt(books, node.id, height);
    const available = matured + received - sent;
    expect([node.id, node.availableSats, node.pendingSats]).toEqual([
      node.id,
      String(available),
      String(deposited - matured),
    ]);
    let balance = deposited + received - sent;
    for (const { node: entry } of node.entries.edges) {
      expect(entry.balanceSats).toBe(String(balance));
      balance -= BigInt(entry.amountSats);
    }
    expect(balance, `${node.id}: entries go back to nothing`).toBe(0n);
  }
  const statuses = transfersAt(chain, height);
  const told = new Map(answer.transfers.edges.map(({ node }) => [node.id, node.status]));
  expect(new Map([...told].sort())).toEqual(new Map([...statuses].sort()));
  const coinbases = new Set(
    chain.everConnected.flatMap(({ found }) =>
      found.received.filter(({ coinbase }) => coinbase).map(({ txid, vout }) => `IN:${txid}:${vout}`),
    ),
  );
  const coins = new Map<string, bigint>();
  for (const { node } of answer.wallets.edges) {
    const { confirmed, immature } = walletAt(chain, node.id, height);
    expect([node.id, node.confirmedSats, node.immatureSats]).toEqual([node.id, String(confirmed), String(immature)]);
    let unconfirmed = 0n;
    for (const { node: coin } of node.coins.edges) {
      const name = `${coin.txid}:${coin.vout}`;
      if (coin.height === null) unconfirmed += BigInt(coin.amountSats);
      else coins.set(name, BigInt(coin.amountSats));
    }
    const orphans = answer.transfers.edges.filter(
      ({ node: { id, status, walletId } }) =>
        id.startsWith('IN:') && status === 'ORPHANED' && walletId === node.id && !coinbases.has(id),
    );
    const expected = orphans.reduce((sum, { node: { amountSats } }) => sum + BigInt(amountSats), 0n);
    expect([node.unconfirmedSats, unconfirmed]).toEqual([String(expected), expected]);
  }
  expect(new Map([...coins].sort())).toEqual(new Map([...coinsAt(chain, height)].sort()));
  expect(answer.ledger.differenceSats).toBe('0');
}
