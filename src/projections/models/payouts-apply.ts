import { invariant } from '../../platform/assert.js';
import { bookHeight } from '../projection.js';
import type { ProjectedEvent } from '../projection.js';
import { keyText } from '../tables/row-table.js';
import { changePayout, NOT_HALTED, payoutOf, voidCandidates } from './change-payout.js';
import type { PayoutTables } from './payout-tables.js';
import { changeWork, newWork } from './payout-work-row.js';
import { releaseCoins, reserveCoins } from './payouts-coins.js';
import { endPayout, resolvePayout, settleLater } from './payouts-end.js';
import { changeWithdrawal } from './withdrawals-apply.js';

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
      resolvePayout(event, event.data, tables);
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
      endPayout(event, payoutId, tables, 'closed', { closed_txid: txid, extra_fee_sats: BigInt(extraFeeSats) });
      return;
    }
    case 'PayoutCancelled':
      endPayout(event, event.data.payoutId, tables, 'cancelled', {});
      return;
    case 'CoinsReserved':
      reserveCoins(event, event.data, tables);
      return;
    case 'CoinsReleased':
      releaseCoins(event, event.data, tables);
      return;
    default:
      return;
  }
}

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
    final_height: null,
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
