import type { View } from '../../reader.js';
import { readBooks, readRecordedAt, readWalletsTotal } from '../../sql/read-ledger.js';
import type { BooksRecord } from '../../sql/read-ledger.js';
import type { FieldResolvers } from '../resolver.js';
import { loadBlock } from './block.js';

export interface LedgerSource {
  view: View;
}

const ONE = 'one';

async function books({ view }: LedgerSource): Promise<BooksRecord> {
  const found = await view.load('books', ONE, async () => new Map([[ONE, await readBooks(view.database, view.at)]]));
  return found ?? { customers: 0n, house: 0n, suspense: 0n, wallets: 0n, transit: 0n, fees: 0n };
}

async function walletsTotal({ view }: LedgerSource): Promise<bigint> {
  const load = async (): Promise<Map<string, bigint>> =>
    new Map([[ONE, await readWalletsTotal(view.database, view.at)]]);
  return (await view.load('wallets-total', ONE, load)) ?? 0n;
}

/** `Int` in GraphQL has 32 bits. */
const MAX_INT = 2_147_483_647n;

export const LEDGER: FieldResolvers = {
  id: ({ view }: LedgerSource) => view.database.ledger,
  position: ({ view }: LedgerSource) => view.at.position,
  recordedAt: ({ view }: LedgerSource) => readRecordedAt(view.database, view.at.position),
  tip: ({ view }: LedgerSource) => (view.at.tip === null ? null : loadBlock(view, view.at.tip.hash)),
  // The books' credits are negative: what is owed is shown as people say it.
  customersSats: async (ledger: LedgerSource) => -(await books(ledger)).customers,
  houseSats: async (ledger: LedgerSource) => -(await books(ledger)).house,
  suspenseSats: async (ledger: LedgerSource) => (await books(ledger)).suspense,
  transitSats: async (ledger: LedgerSource) => (await books(ledger)).transit,
  feesSats: async (ledger: LedgerSource) => (await books(ledger)).fees,
  walletsSats: walletsTotal,
  differenceSats: async (ledger: LedgerSource) => (await books(ledger)).wallets - (await walletsTotal(ledger)),
  projections: async ({ view }: LedgerSource) => {
    const status = await view.reader.deps.readModels.status();
    return status.map((projection) => ({
      ...projection,
      lagEvents: Number(projection.lagEvents < MAX_INT ? projection.lagEvents : MAX_INT),
    }));
  },
};
