import type { ProjectedEvent } from '../projection.js';
import { isOwnTransaction } from './candidate-tables.js';
import { membersOf } from './change-payout.js';
import type { PayoutTables } from './payout-tables.js';
import type { PayoutStageRow, WithdrawalStageRow } from './stage-tables.js';
import type { WithdrawalRow } from './withdrawal-tables.js';

/** After everything else that an event has changed: how far the payments and withdrawals are that it touches. */
export function applyStages(event: ProjectedEvent, tables: PayoutTables): void {
  const { payoutIds, withdrawalIds } = touched(event, tables);
  for (const payoutId of payoutIds) {
    restagePayout(event, payoutId, tables);
    for (const withdrawalId of membersOf(payoutId, tables)) restageWithdrawal(event, withdrawalId, tables);
  }
  for (const withdrawalId of withdrawalIds) restageWithdrawal(event, withdrawalId, tables);
}

/** Which payouts an event may take to another stage, and which withdrawals on their own. Loaded are at least these. */
export function touched(
  event: ProjectedEvent,
  { candidateTx }: Pick<PayoutTables, 'candidateTx'>,
): { payoutIds: ReadonlySet<string>; withdrawalIds: readonly string[] } {
  switch (event.type) {
    case 'FundsReserved':
    case 'WithdrawalAssigned':
    case 'WithdrawalCancelled':
    case 'WithdrawalFailed':
    case 'WithdrawalSettled':
      return { payoutIds: NONE, withdrawalIds: [event.data.withdrawalId] };
    case 'WithdrawalRemoved':
      return { payoutIds: new Set([event.data.payoutId]), withdrawalIds: [event.data.withdrawalId] };
    case 'PayoutStarted':
    case 'CandidatePrepared':
    case 'CandidateSigned':
    case 'CandidateOffered':
    case 'PayoutHalted':
    case 'PayoutResumed':
    case 'PayoutResolved':
    case 'PayoutClosed':
    case 'PayoutCancelled':
      return { payoutIds: new Set([event.data.payoutId]), withdrawalIds: [] };
    case 'BlockConnected':
    case 'BlockDisconnected': {
      const payoutIds = new Set<string>();
      for (const { txid } of event.block?.found.spent ?? []) {
        const tx = candidateTx.get(txid);
        if (isOwnTransaction(tx) && tx.kind === 'payment') payoutIds.add(tx.payout_id);
      }
      return { payoutIds, withdrawalIds: [] };
    }
    default:
      return { payoutIds: NONE, withdrawalIds: [] };
  }
}

const NONE: ReadonlySet<string> = new Set();

function restagePayout(event: ProjectedEvent, payoutId: string, tables: PayoutTables): void {
  const payout = tables.payout.get(payoutId);
  const work = tables.work.get(payoutId);
  if (payout?.is_open !== true || work === undefined) {
    tables.payoutStage.remove(payoutId);
    return;
  }
  const before = tables.payoutStage.get(payoutId);
  const isMined = work.confirmed_height !== null;
  let minedAt: Date | null = null;
  if (isMined) minedAt = event.type === 'BlockConnected' ? event.recordedAt : (before?.mined_at ?? event.recordedAt);
  let lostAt = isMined || isVoiding(event) ? null : (before?.lost_at ?? null);
  if (!isMined && losesPayment(event, payoutId, tables)) lostAt = event.recordedAt;
  const startedAt = before?.started_at ?? event.recordedAt;
  const [stage, since] = stageOf({ ...payout, started_at: startedAt, mined_at: minedAt, lost_at: lostAt });
  const next: PayoutStageRow = {
    payout_id: payoutId,
    started_position: payout.started_position,
    stage,
    standing: payout.phase === 'failed' ? 'failed' : payout.halted_at === null ? stage : 'halted',
    since,
    complete_height: work.confirmed_height === null ? null : work.confirmed_height + work.complete_at - 1,
    final_height: work.confirmed_height === null ? null : work.confirmed_height + work.final_at - 1,
    started_at: startedAt,
    mined_at: minedAt,
    lost_at: lostAt,
    is_unusual: work.is_unusual,
  };
  if (before === undefined || differs(before, next)) tables.payoutStage.put(next);
}

/** What was prepared or sent before is not this payment's any more. */
function isVoiding(event: ProjectedEvent): boolean {
  return event.type === 'WithdrawalRemoved' || (event.type === 'PayoutResolved' && event.data.outcome === 'pay-again');
}

/** A payment that may still confirm was in the block that is taken off. */
function losesPayment(event: ProjectedEvent, payoutId: string, { candidateTx }: PayoutTables): boolean {
  if (event.type !== 'BlockDisconnected') return false;
  return (event.block?.found.spent ?? []).some(({ txid }) => {
    const tx = candidateTx.get(txid);
    return tx?.payout_id === payoutId && tx.kind === 'payment' && !tx.is_void;
  });
}

type Times = Record<'mined_at' | 'lost_at' | 'broadcast_at' | 'signed_at' | 'prepared_at', Date | null> & {
  started_at: Date;
};

function stageOf(at: Times): [PayoutStageRow['stage'], Date] {
  if (at.mined_at !== null) return ['mined', at.mined_at];
  const sentAt = later(at.broadcast_at, at.lost_at);
  if (sentAt !== null) return ['broadcast', sentAt];
  if (at.signed_at !== null) return ['signed', at.signed_at];
  return at.prepared_at === null ? ['started', at.started_at] : ['prepared', at.prepared_at];
}

function later(a: Date | null, b: Date | null): Date | null {
  if (a === null || b === null) return a ?? b;
  return a > b ? a : b;
}

function restageWithdrawal(event: ProjectedEvent, withdrawalId: string, tables: PayoutTables): void {
  const withdrawal = tables.withdrawal.get(withdrawalId);
  if (withdrawal === undefined || isOver(withdrawal)) {
    tables.withdrawalStage.remove(withdrawalId);
    return;
  }
  const before = tables.withdrawalStage.get(withdrawalId);
  const { payout_id: payoutId, is_removed: isRemoved } = withdrawal;
  const payout = payoutId === null || isRemoved ? undefined : tables.payoutStage.get(payoutId);
  const requested =
    before ??
    (event.type === 'FundsReserved'
      ? { amount_sats: BigInt(event.data.amountSats), requested_at: event.recordedAt }
      : undefined);
  if (requested === undefined) return;
  const next: WithdrawalStageRow = {
    withdrawal_id: withdrawalId,
    requested_position: withdrawal.requested_position,
    payout_id: payoutId,
    amount_sats: requested.amount_sats,
    requested_at: requested.requested_at,
    is_unusual: payout?.is_unusual ?? (payoutId !== null && !isRemoved),
    ...(payout === undefined || payout.stage === 'started'
      ? { stage: 'requested', since: requested.requested_at, complete_height: null }
      : { stage: payout.stage, since: payout.since, complete_height: payout.complete_height }),
  };
  if (before === undefined || differs(before, next)) tables.withdrawalStage.put(next);
}

/** Nothing follows but what a reorg does to its payment. */
function isOver({ state, is_open: isOpen }: WithdrawalRow): boolean {
  return state === 'cancelled' || state === 'failed' || (state === 'settled' && !isOpen);
}

function differs<R extends object>(a: R, b: R): boolean {
  return (Object.keys(b) as (keyof R)[]).some((name) => {
    const [x, y] = [a[name], b[name]];
    return x instanceof Date && y instanceof Date ? x.getTime() !== y.getTime() : x !== y;
  });
}
