import { invariant } from '../../platform/assert.js';
import { bookHeight } from '../projection.js';
import type { ProjectedEvent } from '../projection.js';
import type { PayoutTables } from './payout-tables.js';
import type { WithdrawalRow, WithdrawalState } from './withdrawal-tables.js';

type Change = Partial<Omit<WithdrawalRow, 'withdrawal_id' | 'wallet_id' | 'requested_position' | 'height' | 'state'>>;

/** The events of a withdrawal's own stream, and its own on the account's stream. */
export function applyWithdrawalEvent(event: ProjectedEvent, tables: PayoutTables): void {
  switch (event.type) {
    case 'FundsReserved':
      request(event, event.data, tables);
      return;
    case 'WithdrawalDeferred':
      changeWithdrawal(event, event.data.withdrawalId, tables, 'deferred', {
        reason: event.data.reason,
        detail: event.data.detail,
      });
      return;
    case 'WithdrawalAssigned': {
      const { withdrawalId, payoutId } = event.data;
      // Another payout that named it too may have let go of it before.
      const change = { payout_id: payoutId, is_removed: false, due: null, reason: null, detail: null };
      changeWithdrawal(event, withdrawalId, tables, 'assigned', change);
      return;
    }
    case 'WithdrawalCancelled':
      changeWithdrawal(event, event.data.withdrawalId, tables, 'cancelled', {
        reason: event.data.reason,
        detail: null,
        due: 'cancel',
        is_open: false,
      });
      return;
    case 'WithdrawalFailed':
      changeWithdrawal(event, event.data.withdrawalId, tables, 'failed', {
        reason: event.data.reason,
        detail: null,
        due: 'fail',
        is_open: false,
      });
      return;
    case 'FundsReleased':
      changeWithdrawal(event, event.data.withdrawalId, tables, undefined, { due: null });
      return;
    case 'WithdrawalSettled': {
      const { withdrawalId, payoutId, txid, feeSats } = event.data;
      const payout = tables.payout.get(payoutId);
      changeWithdrawal(event, withdrawalId, tables, 'settled', {
        fee_sats: BigInt(feeSats),
        txid,
        due: null,
        is_open: payout?.is_open ?? false,
      });
      return;
    }
    default:
      return;
  }
}

type FundsReserved = Extract<ProjectedEvent, { type: 'FundsReserved' }>['data'];

function request(event: ProjectedEvent, data: FundsReserved, { request: requests, withdrawal }: PayoutTables): void {
  requests.append({
    withdrawal_id: data.withdrawalId,
    account_id: data.accountId,
    wallet_id: data.walletId,
    address: data.address,
    script: data.script,
    amount_sats: BigInt(data.amountSats),
    max_fee_sats: data.maxFeeSats === null ? null : BigInt(data.maxFeeSats),
    confirmation_target: data.confirmationTarget,
    position: event.position,
    height: bookHeight(event),
    recorded_at: event.recordedAt,
  });
  withdrawal.put({
    withdrawal_id: data.withdrawalId,
    wallet_id: data.walletId,
    requested_position: event.position,
    state: 'requested',
    state_at: event.recordedAt,
    payout_id: null,
    is_removed: false,
    reason: null,
    detail: null,
    fee_sats: null,
    txid: null,
    due: null,
    is_open: true,
    height: bookHeight(event),
  });
}

/** A new version of a withdrawal; without a state it stays in the one that it has. */
export function changeWithdrawal(
  event: ProjectedEvent,
  withdrawalId: string,
  { withdrawal }: PayoutTables,
  state: WithdrawalState | undefined,
  change: Change,
): void {
  const row = withdrawal.get(withdrawalId);
  invariant(row !== undefined, `${event.type} at position ${event.position}: there is no withdrawal ${withdrawalId}`);
  const moved = state !== undefined && state !== row.state;
  withdrawal.put({
    ...row,
    ...change,
    state: state ?? row.state,
    state_at: moved ? event.recordedAt : row.state_at,
    height: bookHeight(event),
  });
}
