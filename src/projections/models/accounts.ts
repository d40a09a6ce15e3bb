import { bookHeight, defineProjection } from '../projection.js';
import type { AssembledBlock, DepositPolicy, Handles, ProjectedEvent } from '../projection.js';
import { appendTable, ladderTable } from '../tables/table-definition.js';
import { accountsBulk } from './accounts-bulk.js';
import {
  addTo,
  leastHeight,
  loadSchedule,
  policyOf,
  reschedule,
  scheduleBlock,
  scheduleTable,
  unscheduleBlock,
} from './maturity.js';
import type { Amounts, Incoming, Need } from './maturity.js';

export interface AccountRow {
  account_id: string;
  opened_position: bigint;
  opened_height: number;
  recorded_at: Date;
  metadata: unknown;
}

export type EntryType =
  'deposit' | 'deposit-reversed' | 'transfer-sent' | 'transfer-received' | 'withdrawal' | 'withdrawal-fee';

/** `from_position` is its position; `to_position` the position at which a reorg took a deposit back. */
export interface AccountEntryRow {
  account_id: string;
  position: bigint;
  /** 0, 1, 2 … among the account's entries of one event. */
  n: number;
  type: EntryType;
  /** Signed. */
  amount_sats: bigint;
  /** What is owed to the account after it, pending deposits included. */
  balance_sats: bigint;
  /** Transfer id, withdrawal id, or `txid:vout`. */
  reference: string;
  block_height: number | null;
  block_hash: string | null;
  /** Height that it counts from: the block's, or the tip's when it was recorded. */
  height: number;
  recorded_at: Date;
}

const tables = {
  account: appendTable<AccountRow>({
    name: 'account',
    columns: {
      account_id: { type: 'text', plain: true },
      opened_position: { type: 'bigint' },
      opened_height: { type: 'int' },
      recorded_at: { type: 'timestamptz' },
      metadata: { type: 'jsonb' },
    },
    key: ['account_id'],
    position: 'opened_position',
    indexes: ['opened_position'],
  }),
  /** Cumulative over the connected blocks. */
  chain: ladderTable({ name: 'account_chain', key: 'account_id', sums: ['deposited_sats', 'matured_sats'] }),
  /** Cumulative over the facts of the books, by the tip's height when they were recorded; a reorg takes nothing back. */
  books: ladderTable({
    name: 'account_books',
    key: 'account_id',
    sums: ['received_sats', 'sent_sats', 'reserved_sats'],
    endless: true,
  }),
  schedule: scheduleTable('deposit_schedule'),
  entry: appendTable<AccountEntryRow>({
    name: 'account_entry',
    columns: {
      account_id: { type: 'text', plain: true },
      position: { type: 'bigint' },
      n: { type: 'int' },
      type: { type: 'text', plain: true },
      amount_sats: { type: 'bigint' },
      balance_sats: { type: 'bigint' },
      reference: { type: 'text', plain: true },
      block_height: { type: 'int', nullable: true },
      block_hash: { type: 'text', nullable: true, plain: true },
      height: { type: 'int' },
      recorded_at: { type: 'timestamptz' },
    },
    key: ['account_id', 'position', 'n'],
    position: 'position',
    closable: true,
  }),
};

type AccountTables = Handles<typeof tables>;

/** Accounts, what is owed to them at every position and height, and the entries that led there. */
export const accounts = defineProjection({
  name: 'accounts',
  version: 4,
  tables,
  load,
  apply,
  bulk: accountsBulk(tables.books),
});

async function load(events: readonly ProjectedEvent[], { chain, books, schedule }: AccountTables): Promise<void> {
  const owners = await loadSchedule(schedule, events);
  const parties = new Set<string>();
  let bookLeast = Infinity;
  for (const event of events) {
    if (event.type === 'TransferSent') {
      parties.add(event.data.fromAccountId).add(event.data.toAccountId);
      bookLeast = Math.min(bookLeast, bookHeight(event));
    }
    if (event.type === 'FundsReserved' || event.type === 'FundsReleased' || event.type === 'WithdrawalSettled') {
      parties.add(event.data.accountId);
      bookLeast = Math.min(bookLeast, bookHeight(event));
    }
    for (const { owner } of event.block === undefined ? [] : incomingOf(event.block)) owners.add(owner);
  }
  // Entries show the total after them: both sums of everybody who gets one.
  const least = Math.min((leastHeight(events) ?? Infinity) - 1, bookLeast);
  await chain.load([...owners, ...parties], least);
  await books.load([...parties, ...owners], least);
}

function apply(event: ProjectedEvent, handles: AccountTables): void {
  switch (event.type) {
    case 'AccountOpened':
      handles.account.append({
        account_id: event.data.accountId,
        opened_position: event.position,
        opened_height: bookHeight(event),
        recorded_at: event.recordedAt,
        metadata: event.data.metadata,
      });
      return;
    case 'TransferSent': {
      const { fromAccountId: from, toAccountId: to, transferId } = event.data;
      const amount = BigInt(event.data.amountSats);
      const height = bookHeight(event);
      handles.books.add(from, height, [0n, amount, 0n]);
      addEntry(handles, event, { account: from, n: 0, type: 'transfer-sent', amount: -amount, reference: transferId });
      handles.books.add(to, height, [amount, 0n, 0n]);
      const n = from === to ? 1 : 0;
      addEntry(handles, event, { account: to, n, type: 'transfer-received', amount, reference: transferId });
      return;
    }
    case 'FundsReserved': {
      const { accountId, amountSats, maxFeeSats } = event.data;
      const reserved = BigInt(amountSats) + BigInt(maxFeeSats ?? 0);
      handles.books.add(accountId, bookHeight(event), [0n, 0n, reserved]);
      return;
    }
    case 'FundsReleased':
      handles.books.add(event.data.accountId, bookHeight(event), [0n, 0n, -BigInt(event.data.amountSats)]);
      return;
    case 'WithdrawalSettled':
      settle(event, event.data, handles);
      return;
    case 'DepositPolicySet':
      if (event.tip !== null) {
        mature(handles, event.tip.height, reschedule(handles.schedule, event.tip.height, needOf(policyOf(event))));
      }
      return;
    case 'BlockConnected':
      if (event.block !== undefined) connect(event, event.block, handles);
      return;
    case 'BlockDisconnected':
      if (event.block !== undefined) disconnect(event, event.block, handles);
      return;
    default:
      return;
  }
}

type WithdrawalSettled = Extract<ProjectedEvent, { type: 'WithdrawalSettled' }>['data'];

/** What was paid leaves the account; the rest of the reservation goes back to what is available. */
function settle(event: ProjectedEvent, data: WithdrawalSettled, handles: AccountTables): void {
  const { accountId: account, withdrawalId: reference } = data;
  const [amount, fee, released] = [BigInt(data.amountSats), BigInt(data.feeSats), BigInt(data.releasedSats)];
  handles.books.add(account, bookHeight(event), [0n, amount + fee, -(amount + fee + released)]);
  addEntry(handles, event, { account, n: 0, type: 'withdrawal', amount: -amount, reference, stillToCome: -fee });
  if (fee > 0n) addEntry(handles, event, { account, n: 1, type: 'withdrawal-fee', amount: -fee, reference });
}

function connect(event: ProjectedEvent, block: AssembledBlock, handles: AccountTables): void {
  const incoming = incomingOf(block);
  const need = incoming.length === 0 ? noNeed : needOf(policyOf(event));
  const matured = scheduleBlock(handles.schedule, block.height, incoming, need);
  const deposited: Amounts = new Map();
  for (const { owner, amountSats } of incoming) addTo(deposited, owner, amountSats);
  for (const owner of new Set([...deposited.keys(), ...matured.keys()])) {
    handles.chain.add(owner, block.height, [deposited.get(owner) ?? 0n, matured.get(owner) ?? 0n]);
  }
  addDepositEntries(event, block, handles, false);
}

function disconnect(event: ProjectedEvent, block: AssembledBlock, handles: AccountTables): void {
  const incoming = incomingOf(block);
  const need = event.policy === null ? noNeed : needOf(event.policy);
  const { touched, matured } = unscheduleBlock(handles.schedule, block.height, incoming, need);
  for (const owner of touched) handles.chain.cutFrom(owner, block.height);
  mature(handles, block.height - 1, matured);
  addDepositEntries(event, block, handles, true);
}

function mature({ chain }: AccountTables, height: number, amounts: Amounts): void {
  for (const [owner, amount] of amounts) chain.add(owner, height, [0n, amount]);
}

/**
 * One entry per deposit, in block order. The ladder has the whole block already, so balances are told from the end of the block
 * backwards: after the last deposit the account has what the ladder says.
 */
function addDepositEntries(
  event: ProjectedEvent,
  block: AssembledBlock,
  handles: AccountTables,
  reversed: boolean,
): void {
  const deposits = block.found.received.filter(({ accountId }) => accountId !== null);
  const later: Amounts = new Map();
  const counts = new Map<string, number>();
  for (const { accountId, amountSats } of deposits) {
    if (accountId === null) continue;
    addTo(later, accountId, reversed ? -BigInt(amountSats) : BigInt(amountSats));
  }
  for (const { accountId: account, amountSats, txid, vout } of deposits) {
    if (account === null) continue;
    const n = counts.get(account) ?? 0;
    counts.set(account, n + 1);
    const amount = reversed ? -BigInt(amountSats) : BigInt(amountSats);
    addTo(later, account, -amount);
    const reference = `${txid}:${vout}`;
    const stillToCome = later.get(account) ?? 0n;
    if (!reversed) {
      addEntry(handles, event, { account, n, type: 'deposit', amount, reference, block, stillToCome });
      continue;
    }
    const entry = { account, n, type: 'deposit', amount, reference, block, stillToCome } as const;
    handles.entry.end(entryRow(handles, event, entry, block.position), block.position);
    addEntry(handles, event, { ...entry, type: 'deposit-reversed' });
  }
}

interface NewEntry {
  account: string;
  n: number;
  type: EntryType;
  amount: bigint;
  reference: string;
  block?: AssembledBlock;
  /** What the ladder counts already and later entries of this event will show. */
  stillToCome?: bigint;
}

function addEntry(handles: AccountTables, event: ProjectedEvent, entry: NewEntry): void {
  handles.entry.append(entryRow(handles, event, entry, event.position));
}

function entryRow(handles: AccountTables, event: ProjectedEvent, entry: NewEntry, position: bigint): AccountEntryRow {
  const deposited = handles.chain.top(entry.account)[0] ?? 0n;
  const books = handles.books.top(entry.account);
  const owed = deposited + (books[0] ?? 0n) - (books[1] ?? 0n);
  return {
    account_id: entry.account,
    position,
    n: entry.n,
    type: entry.type,
    amount_sats: entry.amount,
    balance_sats: owed - (entry.stillToCome ?? 0n),
    reference: entry.reference,
    block_height: entry.block?.height ?? null,
    block_hash: entry.block?.hash ?? null,
    height: entry.block?.height ?? bookHeight(event),
    recorded_at: event.recordedAt,
  };
}

function incomingOf(block: AssembledBlock): Incoming[] {
  return block.found.received.flatMap(({ accountId, coinbase, amountSats }) =>
    accountId === null ? [] : [{ owner: accountId, coinbase, amountSats: BigInt(amountSats) }],
  );
}

function needOf({ depositConfirmations, coinbaseMaturity }: DepositPolicy): Need {
  return (coinbase) => (coinbase ? Math.max(depositConfirmations, coinbaseMaturity) : depositConfirmations);
}

/** Where nothing came in, nothing needs confirmations. */
const noNeed: Need = () => 1;
