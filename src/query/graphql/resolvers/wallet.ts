import { pageSize, toConnection } from '../../connection.js';
import type { PageArgs } from '../../connection.js';
import { decodeCursor, encodeCursor } from '../../cursor.js';
import { badUserInput } from '../../errors.js';
import { MAX_BALANCE_HEIGHTS } from '../../limits.js';
import type { View } from '../../reader.js';
import { listCoins } from '../../sql/list-coins.js';
import type { CoinRecord } from '../../sql/list-coins.js';
import { readHeightBalances } from '../../sql/read-height-balances.js';
import { readHolders, readReserved } from '../../sql/read-reserved.js';
import { readUnconfirmed, readWallets } from '../../sql/read-wallets.js';
import type { WalletRecord } from '../../sql/read-wallets.js';
import { ID_PATTERN } from '../../../domain/primitives.js';
import { confirmationsAt } from '../confirmations.js';
import type { FieldResolvers, Resolve } from '../resolver.js';

export interface WalletSource extends WalletRecord {
  view: View;
}

/** The wallet as of the view's moment; undefined where it was not there then. */
export async function loadWallet(view: View, id: string): Promise<WalletSource | undefined> {
  if (!ID_PATTERN.test(id)) return undefined;
  const record = await view.load('wallet', id, (ids: readonly string[]) => readWallets(view.database, view.at, ids));
  return record === undefined ? undefined : { ...record, view };
}

/** Satoshis in coins that no connected block holds. */
export async function loadUnconfirmed(view: View, walletId: string): Promise<bigint> {
  const sats = await view.load('unconfirmed', walletId, (ids: readonly string[]) =>
    readUnconfirmed(view.database, view.at, ids),
  );
  return sats ?? 0n;
}

/** The part of what the wallet holds that payouts have reserved. */
export async function loadReserved(view: View, walletId: string): Promise<bigint> {
  const sats = await view.load('reserved', walletId, (ids: readonly string[]) =>
    readReserved(view.database, view.at, ids),
  );
  return sats ?? 0n;
}

interface CoinSource extends CoinRecord {
  view: View;
}

const coins: Resolve<WalletSource, PageArgs> = async ({ walletId, view }, args) => {
  const size = pageSize(args.first);
  const keys = decodeCursor('coin', ['position', 'text', 'int'], args.after);
  const before =
    keys === undefined ? undefined : { seq: BigInt(keys[0] ?? ''), txid: keys[1] ?? '', vout: Number(keys[2]) };
  const rows = await view.load(`coins(${size},${args.after ?? ''})`, walletId, (ids: readonly string[]) =>
    listCoins(view.database, view.at, ids, { before, limit: size + 1 }),
  );
  return toConnection(
    rows ?? [],
    { size, hasPrevious: before !== undefined },
    ({ seq, txid, vout }) => encodeCursor('coin', [seq, txid, vout]),
    (coin): CoinSource => ({ ...coin, view }),
  );
};

const balances: Resolve<WalletSource, { fromHeight: number; toHeight: number }> = async ({ walletId, view }, args) => {
  const { fromHeight: from, toHeight: to } = args;
  const heights = to - from + 1;
  if (from < 0) throw badUserInput('fromHeight', `${from} is not a height`);
  if (heights < 1) throw badUserInput('toHeight', `${to} is below fromHeight ${from}`);
  if (heights > MAX_BALANCE_HEIGHTS) {
    throw badUserInput('toHeight', `at most ${MAX_BALANCE_HEIGHTS} heights at once, not ${heights}`);
  }
  const { tip } = view.at;
  if (tip === null) throw badUserInput('toHeight', `${to} is not known: there is no chain`);
  if (to > tip.height) throw badUserInput('toHeight', `${to} lies in the future: the tip is at height ${tip.height}`);
  const filled = await view.load(`balances(${from},${to})`, walletId, (ids: readonly string[]) =>
    readHeightBalances(view.database, view.at, ids, { from, to }),
  );
  if (filled?.length !== heights) {
    throw badUserInput('fromHeight', `${from} is not known: it is below the first block of this ledger`);
  }
  return filled;
};

export const WALLET: FieldResolvers = {
  id: ({ walletId }: WalletSource) => walletId,
  reservedSats: ({ walletId, view }: WalletSource) => loadReserved(view, walletId),
  unconfirmedSats: ({ walletId, view }: WalletSource) => loadUnconfirmed(view, walletId),
  coins,
  balances,
};

export const COIN: FieldResolvers = {
  confirmations: ({ height, view }: CoinSource) => confirmationsAt(view.at, height),
  reserved: async ({ txid, vout, view }: CoinSource) => {
    const holder = await view.load('holder', `${txid}:${vout}`, (outpoints: readonly string[]) =>
      readHolders(view.database, view.at, outpoints),
    );
    return holder !== undefined;
  },
};
