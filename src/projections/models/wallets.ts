import { bookHeight, defineProjection } from '../projection.js';
import type { AssembledBlock, DepositPolicy, Handles, ProjectedEvent } from '../projection.js';
import { appendTable, ladderTable, rowTable } from '../tables/table-definition.js';
import {
  leastHeight,
  loadSchedule,
  policyOf,
  reschedule,
  scheduleBlock,
  scheduleTable,
  unscheduleBlock,
} from './maturity.js';
import type { Amounts, Incoming, Need } from './maturity.js';

export interface WalletRow {
  wallet_id: string;
  opened_position: bigint;
  opened_height: number;
  recorded_at: Date;
  network: string;
  descriptor: string | null;
  change_descriptor: string | null;
  gap_limit: number;
  signer: string;
}

/** Whose a script is: the first watcher's, for good. */
export interface ScriptRow {
  script: string;
  wallet_id: string;
  account_id: string | null;
  address: string | null;
  branch: number | null;
  index: number | null;
  position: bigint;
  height: number;
}

const tables = {
  wallet: appendTable<WalletRow>({
    name: 'wallet',
    columns: {
      wallet_id: { type: 'text', plain: true },
      opened_position: { type: 'bigint' },
      opened_height: { type: 'int' },
      recorded_at: { type: 'timestamptz' },
      network: { type: 'text', plain: true },
      descriptor: { type: 'text', nullable: true },
      change_descriptor: { type: 'text', nullable: true },
      gap_limit: { type: 'int' },
      signer: { type: 'text', plain: true },
    },
    key: ['wallet_id'],
    position: 'opened_position',
    indexes: ['opened_position'],
  }),
  script: rowTable<ScriptRow>({
    name: 'script',
    columns: {
      script: { type: 'text', plain: true },
      wallet_id: { type: 'text', plain: true },
      account_id: { type: 'text', nullable: true, plain: true },
      address: { type: 'text', nullable: true },
      branch: { type: 'int', nullable: true },
      index: { type: 'int', nullable: true },
      position: { type: 'bigint' },
      height: { type: 'int' },
    },
    key: ['script'],
    indexes: ['wallet_id, position'],
  }),
  /** Coins in connected blocks, cumulative: mature ones, and coinbase coins that are not yet. */
  chain: ladderTable({ name: 'wallet_chain', key: 'wallet_id', sums: ['confirmed_sats', 'immature_sats'] }),
  schedule: scheduleTable('coinbase_schedule'),
};

type WalletTables = Handles<typeof tables>;

/** Wallets, the scripts that are watched for them, and what they hold at every position and height. */
export const wallets = defineProjection({
  name: 'wallets',
  version: 1,
  tables,
  load,
  apply,
  bulk: { applies: `type <> 'TransferSent'`, tables: [] },
});

async function load(events: readonly ProjectedEvent[], { script, chain, schedule }: WalletTables): Promise<void> {
  await script.load(
    events.flatMap((event) =>
      event.type === 'AddressIssued' || event.type === 'ScriptWatched' ? [event.data.script] : [],
    ),
  );
  const owners = await loadSchedule(schedule, events);
  for (const { block } of events) {
    if (block === undefined) continue;
    for (const { walletId } of block.found.received) owners.add(walletId);
    for (const { walletId } of block.found.spent) owners.add(walletId);
  }
  await chain.load(owners, (leastHeight(events) ?? 0) - 1);
}

function apply(event: ProjectedEvent, handles: WalletTables): void {
  switch (event.type) {
    case 'WalletCreated':
      handles.wallet.append({
        wallet_id: event.data.walletId,
        opened_position: event.position,
        opened_height: bookHeight(event),
        recorded_at: event.recordedAt,
        network: event.data.network,
        descriptor: event.data.descriptor,
        change_descriptor: event.data.changeDescriptor,
        gap_limit: event.data.gapLimit,
        signer: event.data.signer,
      });
      return;
    case 'AddressIssued':
      watch(event, event.data, { branch: event.data.branch, index: event.data.index }, handles);
      return;
    case 'ScriptWatched':
      watch(event, event.data, { branch: null, index: null }, handles);
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

function watch(
  event: ProjectedEvent,
  watched: { script: string; walletId: string; accountId: string | null; address: string | null },
  place: { branch: number | null; index: number | null },
  { script }: WalletTables,
): void {
  if (script.get(watched.script) !== undefined) return;
  script.put({
    script: watched.script,
    wallet_id: watched.walletId,
    account_id: watched.accountId,
    address: watched.address,
    branch: place.branch,
    index: place.index,
    position: event.position,
    height: bookHeight(event),
  });
}

function connect(event: ProjectedEvent, block: AssembledBlock, { chain, schedule }: WalletTables): void {
  const coinbases = coinbasesOf(block);
  const need = coinbases.length === 0 ? noNeed : needOf(policyOf(event));
  const sums = new Map<string, { confirmed: bigint; immature: bigint }>();
  const change = (walletId: string, confirmed: bigint, immature: bigint): void => {
    const sum = sums.get(walletId) ?? { confirmed: 0n, immature: 0n };
    sums.set(walletId, { confirmed: sum.confirmed + confirmed, immature: sum.immature + immature });
  };
  for (const { walletId, coinbase, amountSats } of block.found.received) {
    if (coinbase) change(walletId, 0n, BigInt(amountSats));
    else change(walletId, BigInt(amountSats), 0n);
  }
  for (const { walletId, amountSats } of block.found.spent) change(walletId, -BigInt(amountSats), 0n);
  for (const [walletId, amount] of scheduleBlock(schedule, block.height, coinbases, need)) {
    change(walletId, amount, -amount);
  }
  for (const [walletId, { confirmed, immature }] of sums) chain.add(walletId, block.height, [confirmed, immature]);
}

function disconnect(event: ProjectedEvent, block: AssembledBlock, handles: WalletTables): void {
  const need = event.policy === null ? noNeed : needOf(event.policy);
  const { touched, matured } = unscheduleBlock(handles.schedule, block.height, coinbasesOf(block), need);
  for (const { walletId } of block.found.received) touched.add(walletId);
  for (const { walletId } of block.found.spent) touched.add(walletId);
  for (const walletId of touched) handles.chain.cutFrom(walletId, block.height);
  mature(handles, block.height - 1, matured);
}

function mature({ chain }: WalletTables, height: number, amounts: Amounts): void {
  for (const [walletId, amount] of amounts) chain.add(walletId, height, [amount, -amount]);
}

function coinbasesOf(block: AssembledBlock): Incoming[] {
  return block.found.received.flatMap(({ walletId, coinbase, amountSats }) =>
    coinbase ? [{ owner: walletId, coinbase, amountSats: BigInt(amountSats) }] : [],
  );
}

/** Only coinbase coins wait (Bitcoin Core, `COINBASE_MATURITY`). */
function needOf({ coinbaseMaturity }: DepositPolicy): Need {
  return () => coinbaseMaturity;
}

const noNeed: Need = () => 1;
