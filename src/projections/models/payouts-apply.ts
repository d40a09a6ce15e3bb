import { invariant } from '../../platform/assert.js';
import { bookHeight } from '../projection.js';
import type { ProjectedEvent } from '../projection.js';
import { keyText } from '../tables/row-table.js';
import type { PayoutPhase, PayoutRow, PayoutTables } from './payout-tables.js';
import { changeWork, newWork } from './payout-work-row.js';
import { changeWithdrawal } from './withdrawals-apply.js';

type Change = Partial<Omit<PayoutRow, 'payout_id' | 'wallet_id' | 'started_position' | 'height' | 'is_open'>>;

/** The events of a payout's stream but for those of its candidates, and of its coins on the wallet's stream. */
export function applyPayoutEvent(event: ProjectedEvent, tables: PayoutTables): void {
  switch (event.type) {
    case 'PayoutStarted':
      start(event, event.data, tables);
      return;
    case 'WithdrawalRemoved':
      removeWithdrawal(event, event.data, tables);
      return;
    case 'PayoutDeferred':
      changePayout(event, event.data.payoutId, tables, { reason: event.data.reason, detail: event.data.detail });
      return;
    case 'BumpRequested':
      changePayout(event, event.data.payoutId, tables, {
        bump_pending: true,
        bump_refused: null,
        bump_refused_detail: null,
      });
      return;
    case 'BumpRefused':
      changePayout(event, event.data.payoutId, tables, {
        bump_pending: false,
        bump_refused: event.data.reason,
        bump_refused_detail: event.data.detail,
      });
      return;
    case 'PayoutHalted': {
      const { payoutId, outpoint, byTxid, blockHash, height } = event.data;
      changePayout(event, payoutId, tables, {
        halted_at: event.recordedAt,
        halted_outpoint: outpoint,
        halted_by_txid: byTxid,
        halted_block_hash: blockHash,
        halted_height: height,
      });
      changeWork(payoutId, tables, { is_halted: true });
      return;
    }
    case 'PayoutResumed':
      changePayout(event, event.data.payoutId, tables, NOT_HALTED);
      changeWork(event.data.payoutId, tables, { is_halted: false });
      return;
    case 'PayoutResolved':
      resolve(event, event.data, tables);
      return;
    case 'PayoutSettled': {
      const { payoutId, txid, feeSats, houseFeeSats, shares } = event.data;
      changePayout(event, payoutId, tables, {
        settled_at: event.recordedAt,
        settled_txid: txid,
        fee_sats: BigInt(feeSats),
        house_fee_sats: BigInt(houseFeeSats),
        reason: null,
        detail: null,
        bump_pending: false,
      });
      changeWork(payoutId, tables, { is_settled: true });
      for (const { withdrawalId } of shares) settleLater(event, withdrawalId, tables);
      return;
    }
    case 'PayoutClosed': {
      const { payoutId, txid, extraFeeSats } = event.data;
      end(event, payoutId, tables, 'closed', { closed_txid: txid, extra_fee_sats: BigInt(extraFeeSats) });
      return;
    }
    case 'PayoutCancelled':
      end(event, event.data.payoutId, tables, 'cancelled', {});
      return;
    case 'CoinsReserved':
      reserve(event, event.data, tables);
      return;
    case 'CoinsReleased':
      release(event, event.data, tables);
      return;
    default:
      return;
  }
}

const NOT_HALTED = {
  halted_at: null,
  halted_outpoint: null,
  halted_by_txid: null,
  halted_block_hash: null,
  halted_height: null,
} satisfies Change;

type DataOf<T extends ProjectedEvent['type']> = Extract<ProjectedEvent, { type: T }>['data'];

function start(event: ProjectedEvent, data: DataOf<'PayoutStarted'>, tables: PayoutTables): void {
  const { payoutId, walletId } = data;
  const height = bookHeight(event);
  tables.start.append({
    payout_id: payoutId,
    wallet_id: walletId,
    signer: data.signer,
    confirmation_target: data.confirmationTarget,
    complete_at: data.completeAt,
    final_at: data.finalAt,
    position: event.position,
    height,
    recorded_at: event.recordedAt,
  });
  tables.payout.put({
    payout_id: payoutId,
    wallet_id: walletId,
    started_position: event.position,
    phase: 'started',
    is_open: true,
    withdrawals: data.withdrawals.length,
    candidates: 0,
    signed: 0,
    prepared_at: null,
    signed_at: null,
    broadcast_at: null,
    reason: null,
    detail: null,
    bump_pending: false,
    bump_refused: null,
    bump_refused_detail: null,
    ...NOT_HALTED,
    resolved: null,
    resolved_note: null,
    resolved_txid: null,
    settled_at: null,
    settled_txid: null,
    fee_sats: null,
    house_fee_sats: null,
    closed_txid: null,
    extra_fee_sats: null,
    height,
  });
  tables.work.put(newWork(event.position, data));
  data.withdrawals.forEach(({ withdrawalId }, n) => {
    tables.member.put({ payout_id: payoutId, withdrawal_id: withdrawalId, n, removed: false, height });
    // A cancel, or another payout, may have been faster: then this one lets go of it again.
    const withdrawal = tables.withdrawal.get(withdrawalId);
    if (withdrawal?.is_open === true && withdrawal.state !== 'assigned') {
      changeWithdrawal(event, withdrawalId, tables, undefined, { payout_id: payoutId });
    }
  });
}

/** What was prepared with it is void. */
function removeWithdrawal(event: ProjectedEvent, data: DataOf<'WithdrawalRemoved'>, tables: PayoutTables): void {
  const { payoutId, withdrawalId, reason } = data;
  const member = tables.member.get(keyText(payoutId, withdrawalId));
  invariant(member !== undefined, `withdrawal ${withdrawalId} is not in payout ${payoutId}`);
  tables.member.put({ ...member, removed: true, height: bookHeight(event) });
  const withdrawal = tables.withdrawal.get(withdrawalId);
  if (withdrawal?.is_open === true && withdrawal.payout_id === payoutId) {
    changeWithdrawal(event, withdrawalId, tables, undefined, { is_removed: true, due: 'cancel', reason });
  }
  voidCandidates(event, payoutId, tables);
  const payout = payoutOf(event, payoutId, tables);
  changePayout(event, payoutId, tables, {
    withdrawals: payout.withdrawals - 1,
    phase: 'started',
    prepared_at: null,
    reason: null,
    detail: null,
  });
}

function resolve(event: ProjectedEvent, data: DataOf<'PayoutResolved'>, tables: PayoutTables): void {
  const { payoutId, outcome, note, byTxid } = data;
  for (const spend of tables.foreign.group(payoutId)) {
    if (spend.by_txid === byTxid) tables.foreign.remove(spend.outpoint);
  }
  const change: Change = {
    ...NOT_HALTED,
    resolved: outcome,
    resolved_note: note,
    resolved_txid: byTxid,
    reason: null,
    detail: null,
  };
  changeWork(payoutId, tables, { is_halted: false });
  switch (outcome) {
    case 'pay-again':
      voidCandidates(event, payoutId, tables);
      changePayout(event, payoutId, tables, {
        ...change,
        phase: 'started',
        prepared_at: null,
        signed_at: null,
        broadcast_at: null,
        bump_pending: false,
      });
      changeWork(payoutId, tables, {
        is_signed: false,
        confirmed_txid: null,
        confirmed_height: null,
        next_target: null,
      });
      return;
    case 'paid':
      // `PayoutSettled` follows in the same append, unless it was settled before.
      changePayout(event, payoutId, tables, { ...change, phase: 'paid' });
      changeWork(payoutId, tables, { is_over: true });
      return;
    case 'give-up':
      for (const withdrawalId of membersOf(payoutId, tables)) {
        const withdrawal = tables.withdrawal.get(withdrawalId);
        if (withdrawal?.is_open !== true || withdrawal.payout_id !== payoutId || withdrawal.state === 'settled')
          continue;
        changeWithdrawal(event, withdrawalId, tables, undefined, { due: 'fail' });
      }
      changePayout(event, payoutId, tables, { ...change, phase: 'failed' });
      changeWork(payoutId, tables, { is_over: true });
      return;
  }
}

function settleLater(event: ProjectedEvent, withdrawalId: string, tables: PayoutTables): void {
  if (tables.withdrawal.get(withdrawalId)?.state === 'settled') return;
  changeWithdrawal(event, withdrawalId, tables, undefined, { due: 'settle' });
}

/** The payout will not be looked at again, but for coins that it still holds. */
function end(
  event: ProjectedEvent,
  payoutId: string,
  tables: PayoutTables,
  phase: Extract<PayoutPhase, 'closed' | 'cancelled'>,
  change: Change,
): void {
  changePayout(event, payoutId, tables, { ...change, phase, reason: null, detail: null, bump_pending: false });
  changeWork(payoutId, tables, { is_over: true, is_closed: true });
  for (const withdrawalId of membersOf(payoutId, tables)) {
    const withdrawal = tables.withdrawal.get(withdrawalId);
    if (withdrawal?.is_open === true && withdrawal.payout_id === payoutId) {
      changeWithdrawal(event, withdrawalId, tables, undefined, { is_open: false });
    }
  }
}

/** In the order of the payout; without those that were taken out. */
function membersOf(payoutId: string, { member }: PayoutTables): string[] {
  return member
    .group(payoutId)
    .filter(({ removed }) => !removed)
    .sort((a, b) => a.n - b.n)
    .map(({ withdrawal_id: withdrawalId }) => withdrawalId);
}

function voidCandidates(event: ProjectedEvent, payoutId: string, { candidate, candidateTx }: PayoutTables): void {
  const height = bookHeight(event);
  for (const row of candidate.group(payoutId)) if (!row.is_void) candidate.put({ ...row, is_void: true, height });
  for (const row of candidateTx.group(payoutId)) if (!row.is_void) candidateTx.put({ ...row, is_void: true, height });
}

function reserve(event: ProjectedEvent, data: DataOf<'CoinsReserved'>, tables: PayoutTables): void {
  const { walletId, payoutId } = data;
  let held = 0;
  for (const { outpoint, amountSats } of data.coins) {
    const before = tables.reservation.get(outpoint);
    if (before?.held === true) {
      invariant(before.payout_id === payoutId, `coin ${outpoint} is reserved for payout ${before.payout_id}`);
      continue;
    }
    held += 1;
    tables.reservation.put({
      outpoint,
      wallet_id: walletId,
      payout_id: payoutId,
      amount_sats: BigInt(amountSats),
      held: true,
      height: bookHeight(event),
    });
  }
  changeWork(payoutId, tables, ({ coins_held: before }) => ({ coins_held: before + held }));
}

function release(event: ProjectedEvent, data: DataOf<'CoinsReleased'>, tables: PayoutTables): void {
  let released = 0;
  for (const outpoint of data.outpoints) {
    const row = tables.reservation.get(outpoint);
    if (row?.held !== true || row.payout_id !== data.payoutId) continue;
    released += 1;
    tables.reservation.put({ ...row, held: false, height: bookHeight(event) });
    tables.foreign.remove(outpoint);
  }
  changeWork(data.payoutId, tables, ({ coins_held: before }) => ({ coins_held: before - released }));
}

function payoutOf(event: ProjectedEvent, payoutId: string, { payout }: PayoutTables): PayoutRow {
  const row = payout.get(payoutId);
  invariant(row !== undefined, `${event.type} at position ${event.position}: there is no payout ${payoutId}`);
  return row;
}

const CLOSED: ReadonlySet<PayoutPhase> = new Set(['closed', 'cancelled']);

export function changePayout(event: ProjectedEvent, payoutId: string, tables: PayoutTables, change: Change): void {
  const row = { ...payoutOf(event, payoutId, tables), ...change, height: bookHeight(event) };
  tables.payout.put({ ...row, is_open: !CLOSED.has(row.phase) });
}
