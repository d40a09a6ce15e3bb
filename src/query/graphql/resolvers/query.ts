import { ID_PATTERN } from '../../../domain/primitives.js';
import type { AsOf } from '../../as-of.js';
import { pageSize, toConnection } from '../../connection.js';
import type { PageArgs } from '../../connection.js';
import { decodeCursor, encodeCursor } from '../../cursor.js';
import { badUserInput } from '../../errors.js';
import { MAX_FILTER_LENGTH } from '../../limits.js';
import { listAccounts } from '../../sql/read-accounts.js';
import { listEvents } from '../../sql/list-events.js';
import type { EventCriteria } from '../../sql/list-events.js';
import { listReorgs } from '../../sql/list-reorgs.js';
import { listTransfers } from '../../sql/list-transfers.js';
import type { TransferCriteria } from '../../sql/list-transfers.js';
import { PAYOUT_STATUSES } from '../../sql/payout-status.js';
import { listPayouts } from '../../sql/read-payouts.js';
import type { PayoutCriteria } from '../../sql/read-payouts.js';
import { listWallets } from '../../sql/read-wallets.js';
import { readBlockAtHeight } from '../../sql/read-blocks.js';
import { listWithdrawals } from '../../sql/read-withdrawals.js';
import type { WithdrawalCriteria } from '../../sql/read-withdrawals.js';
import { WITHDRAWAL_STATUSES } from '../../overdue.js';
import { answerName } from '../resolver.js';
import type { FieldResolvers, Resolve } from '../resolver.js';
import { loadAccount } from './account.js';
import { loadBlock } from './block.js';
import { loadPayout, loadWithdrawal, overdueAt } from './load-payments.js';
import { loadWallet } from './wallet.js';

interface AsOfArg {
  asOf?: AsOf | null;
}

const ledger: Resolve<unknown, AsOfArg> = async (_root, { asOf }, { reader }, info) => ({
  view: await reader.view(asOf, answerName(info)),
});

const account: Resolve<unknown, AsOfArg & { id: string }> = async (_root, { id, asOf }, { reader }, info) =>
  loadAccount(await reader.view(asOf, answerName(info)), id);

const wallet: Resolve<unknown, AsOfArg & { id: string }> = async (_root, { id, asOf }, { reader }, info) =>
  loadWallet(await reader.view(asOf, answerName(info)), id);

const accounts: Resolve<unknown, AsOfArg & PageArgs> = async (_root, args, { reader }, info) => {
  const { size, before } = positionPage('account', args);
  const view = await reader.view(args.asOf, answerName(info));
  return toConnection(
    await listAccounts(view.database, view.at, { before, limit: size + 1 }),
    { size, hasPrevious: before !== undefined },
    ({ openedPosition }) => encodeCursor('account', [openedPosition]),
    (record) => ({ ...record, view }),
  );
};

const wallets: Resolve<unknown, AsOfArg & PageArgs> = async (_root, args, { reader }, info) => {
  const { size, before } = positionPage('wallet', args);
  const view = await reader.view(args.asOf, answerName(info));
  return toConnection(
    await listWallets(view.database, view.at, { before, limit: size + 1 }),
    { size, hasPrevious: before !== undefined },
    ({ openedPosition }) => encodeCursor('wallet', [openedPosition]),
    (record) => ({ ...record, view }),
  );
};

type NullableFields<T> = { [K in keyof T]?: T[K] | null };

const transfers: Resolve<unknown, AsOfArg & PageArgs & { filter?: NullableFields<TransferCriteria> | null }> = async (
  _root,
  args,
  { reader },
  info,
) => {
  const size = pageSize(args.first);
  const keys = decodeCursor('transfer', ['position', 'text'], args.after);
  const before = keys === undefined ? undefined : { seq: BigInt(keys[0] ?? ''), id: keys[1] ?? '' };
  const criteria = given(args.filter) as TransferCriteria;
  refuseBadId('filter.accountId', criteria.accountId);
  refuseBadId('filter.walletId', criteria.walletId);
  const view = await reader.view(args.asOf, answerName(info));
  return toConnection(
    await listTransfers(view.database, view.at, criteria, { before, limit: size + 1 }),
    { size, hasPrevious: before !== undefined },
    ({ seq, id }) => encodeCursor('transfer', [seq, id]),
    (record) => ({ ...record, view }),
  );
};

const withdrawal: Resolve<unknown, AsOfArg & { id: string }> = async (_root, { id, asOf }, { reader }, info) =>
  loadWithdrawal(await reader.view(asOf, answerName(info)), id);

const payout: Resolve<unknown, AsOfArg & { id: string }> = async (_root, { id, asOf }, { reader }, info) =>
  loadPayout(await reader.view(asOf, answerName(info)), id);

type WithdrawalsArgs = AsOfArg & PageArgs & { filter?: NullableFields<WithdrawalCriteria> | null };

const withdrawals: Resolve<unknown, WithdrawalsArgs> = async (_root, args, { reader }, info) => {
  const { size, before } = positionPage('withdrawal', args);
  const criteria = given(args.filter) as WithdrawalCriteria;
  refuseBadId('filter.accountId', criteria.accountId);
  refuseBadId('filter.walletId', criteria.walletId);
  refuseBadId('filter.payoutId', criteria.payoutId);
  refuseOther('filter.status', criteria.status, WITHDRAWAL_STATUSES);
  const view = await reader.view(args.asOf, answerName(info));
  return toConnection(
    await listWithdrawals(view.database, view.at, await overdueAt(view), criteria, { before, limit: size + 1 }),
    { size, hasPrevious: before !== undefined },
    ({ requestedPosition }) => encodeCursor('withdrawal', [requestedPosition]),
    (record) => ({ ...record, view }),
  );
};

type PayoutsArgs = AsOfArg & PageArgs & { filter?: NullableFields<PayoutCriteria> | null };

const payouts: Resolve<unknown, PayoutsArgs> = async (_root, args, { reader }, info) => {
  const { size, before } = positionPage('payout', args);
  const criteria = given(args.filter) as PayoutCriteria;
  refuseBadId('filter.walletId', criteria.walletId);
  refuseOther('filter.status', criteria.status, PAYOUT_STATUSES);
  const view = await reader.view(args.asOf, answerName(info));
  return toConnection(
    await listPayouts(view.database, view.at, criteria, { before, limit: size + 1 }),
    { size, hasPrevious: before !== undefined },
    ({ startedPosition }) => encodeCursor('payout', [startedPosition]),
    (record) => ({ ...record, view }),
  );
};

const block: Resolve<unknown, AsOfArg & { height?: number | null; hash?: string | null }> = async (
  _root,
  args,
  { reader },
  info,
) => {
  const { height = null, hash = null } = args;
  if ((height === null) === (hash === null)) throw badUserInput('block', 'give height or hash, one of the two');
  const view = await reader.view(args.asOf, answerName(info));
  if (hash !== null) return loadBlock(view, hash);
  const record = height === null ? undefined : await readBlockAtHeight(view.database, view.at, height);
  return record === undefined ? undefined : { ...record, view };
};

const reorgs: Resolve<unknown, PageArgs> = async (_root, args, { reader }, info) => {
  const { size, before } = positionPage('reorg', args);
  const view = await reader.view(undefined, answerName(info));
  return toConnection(
    await listReorgs(view.database, view.at, { before, limit: size + 1 }),
    { size, hasPrevious: before !== undefined },
    ({ position }) => encodeCursor('reorg', [position]),
    (record) => record,
  );
};

const events: Resolve<unknown, PageArgs & { filter?: NullableFields<EventCriteria> | null }> = async (
  _root,
  args,
  { reader },
  info,
) => {
  const { size, before } = positionPage('event', args);
  const criteria = given(args.filter) as EventCriteria;
  refuseBadText('filter.type', criteria.type);
  refuseBadText('filter.stream', criteria.stream);
  refuseBadId('filter.accountId', criteria.accountId);
  const view = await reader.view(undefined, answerName(info));
  const end = view.at.position + 1n;
  return toConnection(
    await listEvents(view.database, criteria, {
      before: before === undefined || before > end ? end : before,
      limit: size + 1,
    }),
    { size, hasPrevious: before !== undefined },
    ({ position }) => encodeCursor('event', [position]),
    (record) => ({ ...record, revision: Number(record.revision) }),
  );
};

/** A list in the order of positions. */
function positionPage(list: string, args: PageArgs): { size: number; before: bigint | undefined } {
  const keys = decodeCursor(list, ['position'], args.after);
  return { size: pageSize(args.first), before: keys === undefined ? undefined : BigInt(keys[0] ?? '') };
}

/** Null in a filter is no condition. */
function given(filter: object | null | undefined): object {
  return Object.fromEntries(Object.entries(filter ?? {}).filter(([, value]) => value !== null && value !== undefined));
}

function refuseBadId(argument: string, id: string | undefined): void {
  if (id !== undefined && !ID_PATTERN.test(id)) {
    throw badUserInput(argument, 'must be 1 to 64 of the characters A-Z a-z 0-9 _ . : -');
  }
}

function refuseOther(argument: string, value: string | undefined, known: readonly string[]): void {
  if (value !== undefined && !known.includes(value)) throw badUserInput(argument, `must be one of ${known.join(', ')}`);
}

function refuseBadText(argument: string, text: string | undefined): void {
  if (text !== undefined && (text.length > MAX_FILTER_LENGTH || !/^[\x20-\x7e]+$/.test(text))) {
    throw badUserInput(argument, `must be 1 to ${MAX_FILTER_LENGTH} printable characters`);
  }
}

export const QUERY: FieldResolvers = {
  ledger,
  account,
  accounts,
  wallet,
  wallets,
  transfers,
  withdrawal,
  withdrawals,
  payout,
  payouts,
  block,
  reorgs,
  events,
};
