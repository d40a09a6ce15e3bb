import type { ProjectedEvent } from '../projection.js';
import type { PayoutTables } from './payout-tables.js';
import { touched } from './stages-apply.js';

interface Wanted {
  withdrawals: Set<string>;
  payouts: Set<string>;
  /** Payouts of which all withdrawals, candidates, foreign spends are looked at. */
  whole: Set<string>;
  txids: Set<string>;
  outpoints: Set<string>;
}

/** Two rounds: what the events name, then the payouts of transactions and coins, and the withdrawals of payouts. */
export async function loadPayouts(events: readonly ProjectedEvent[], tables: PayoutTables): Promise<void> {
  const wanted: Wanted = {
    withdrawals: new Set(),
    payouts: new Set(),
    whole: new Set(),
    txids: new Set(),
    outpoints: new Set(),
  };
  for (const event of events) gather(event, wanted);
  const { withdrawals, payouts, whole, txids, outpoints } = wanted;
  await tables.candidateTx.load(txids);
  await tables.candidateTx.loadGroups(whole);
  await tables.reservation.load(outpoints);
  await tables.foreign.load(outpoints);
  await tables.foreign.loadGroups(whole);
  await tables.member.loadGroups(whole);
  await tables.candidate.loadGroups(payouts);
  if (!tables.candidateTx.isComplete) {
    for (const txid of txids) addDefined(payouts, tables.candidateTx.get(txid)?.payout_id);
    for (const outpoint of outpoints) addDefined(payouts, tables.reservation.get(outpoint)?.payout_id);
    for (const payoutId of whole) {
      for (const { withdrawal_id: id } of tables.member.group(payoutId)) withdrawals.add(id);
    }
  }
  await loadStages(events, tables, withdrawals);
  await tables.withdrawal.load(withdrawals);
  await tables.payout.load(payouts);
  await tables.work.load(payouts);
}

/** How far the payouts and withdrawals are that these events touch; adds the withdrawals of those payouts. */
async function loadStages(
  events: readonly ProjectedEvent[],
  tables: PayoutTables,
  withdrawals: Set<string>,
): Promise<void> {
  if (tables.candidateTx.isComplete) return;
  const staged = new Set<string>();
  for (const event of events) {
    const { payoutIds, withdrawalIds } = touched(event, tables);
    for (const payoutId of payoutIds) staged.add(payoutId);
    for (const withdrawalId of withdrawalIds) withdrawals.add(withdrawalId);
  }
  await tables.member.loadGroups(staged);
  for (const payoutId of staged) {
    for (const { withdrawal_id: id } of tables.member.group(payoutId)) withdrawals.add(id);
  }
  await tables.withdrawal.load(withdrawals);
  await tables.withdrawalStage.load(withdrawals);
  const payouts = new Set(staged);
  // A withdrawal may be another payout's than the one that an event is about.
  for (const id of withdrawals) addDefined(payouts, tables.withdrawal.get(id)?.payout_id ?? undefined);
  for (const event of events) if (event.type === 'WithdrawalAssigned') payouts.add(event.data.payoutId);
  await tables.payoutStage.load(payouts);
}

function addDefined(set: Set<string>, value: string | undefined): void {
  if (value !== undefined) set.add(value);
}

function gather(event: ProjectedEvent, { withdrawals, payouts, whole, txids, outpoints }: Wanted): void {
  for (const { txid, prevTxid, prevVout } of event.block?.found.spent ?? []) {
    txids.add(txid);
    outpoints.add(`${prevTxid}:${prevVout}`);
  }
  switch (event.type) {
    case 'FundsReserved':
    case 'FundsReleased':
    case 'WithdrawalDeferred':
    case 'WithdrawalCancelled':
    case 'WithdrawalAssigned':
    case 'WithdrawalFailed':
      withdrawals.add(event.data.withdrawalId);
      return;
    case 'WithdrawalSettled':
      withdrawals.add(event.data.withdrawalId);
      payouts.add(event.data.payoutId);
      return;
    case 'PayoutStarted':
      for (const { withdrawalId } of event.data.withdrawals) withdrawals.add(withdrawalId);
      payouts.add(event.data.payoutId);
      whole.add(event.data.payoutId);
      return;
    case 'PayoutSettled':
      for (const { withdrawalId } of event.data.shares) withdrawals.add(withdrawalId);
      payouts.add(event.data.payoutId);
      return;
    case 'WithdrawalRemoved':
    case 'PayoutResolved':
    case 'PayoutClosed':
    case 'PayoutCancelled':
      payouts.add(event.data.payoutId);
      whole.add(event.data.payoutId);
      return;
    case 'CandidatePrepared':
      payouts.add(event.data.payoutId);
      addDefined(txids, event.data.transaction.txid ?? undefined);
      return;
    case 'CandidateSigned':
      whole.add(event.data.payoutId);
      payouts.add(event.data.payoutId);
      txids.add(event.data.txid);
      return;
    case 'CandidateOffered':
      payouts.add(event.data.payoutId);
      txids.add(event.data.txid);
      return;
    case 'PayoutDeferred':
    case 'BumpRequested':
    case 'BumpRefused':
    case 'PayoutHalted':
    case 'PayoutResumed':
      payouts.add(event.data.payoutId);
      return;
    case 'CoinsReserved':
      payouts.add(event.data.payoutId);
      for (const { outpoint } of event.data.coins) outpoints.add(outpoint);
      return;
    case 'CoinsReleased':
      payouts.add(event.data.payoutId);
      for (const outpoint of event.data.outpoints) outpoints.add(outpoint);
      return;
    default:
      return;
  }
}
