import type { DomainEvent } from '../../src/domain/events/event-types.js';

const short = (id: string): string => id.slice(0, 8);

/** A line about an event of a payment; undefined for those that say nothing new. */
export function tellEvent(event: DomainEvent): string | undefined {
  switch (event.type) {
    case 'PayoutStarted': {
      const { payoutId, withdrawals } = event.data;
      return `payout ${short(payoutId)} pays ${withdrawals.map(({ withdrawalId }) => withdrawalId).join(', ')}`;
    }
    case 'CandidatePrepared': {
      const { payoutId, candidate, kind, transaction, feeSource } = event.data;
      const { inputs, feeSats, feeRateSatsPerKvb } = transaction;
      const spent = inputs.map(({ txid, vout, blockHash }) => `${short(txid)}:${vout}${blockHash === null ? '?' : ''}`);
      const fee = `${feeSats} sats at ${feeRateSatsPerKvb} by ${feeSource}`;
      return `payout ${short(payoutId)} prepares ${kind} ${candidate} of ${spent.join(' ')}, ${fee}`;
    }
    case 'CandidateSigned':
      return `payout ${short(event.data.payoutId)} has ${event.data.candidate} signed: ${short(event.data.txid)}`;
    case 'CandidateOffered':
      return `payout ${short(event.data.payoutId)} offers ${short(event.data.txid)}: ${event.data.answer}`;
    case 'BumpRefused':
      return `payout ${short(event.data.payoutId)} is not bumped: ${event.data.reason}, ${event.data.detail}`;
    case 'WithdrawalRemoved':
      return `payout ${short(event.data.payoutId)} lets go of ${event.data.withdrawalId}`;
    case 'PayoutHalted':
      return `payout ${short(event.data.payoutId)} is HALTED by ${short(event.data.byTxid)}`;
    case 'PayoutSettled':
      return `payout ${short(event.data.payoutId)} is settled by ${short(event.data.txid)}`;
    case 'PayoutDeferred':
    case 'PayoutResumed':
    case 'PayoutResolved':
    case 'PayoutClosed':
    case 'PayoutCancelled':
    case 'BumpRequested':
      return `payout ${short(event.data.payoutId)}: ${event.type}`;
    case 'WithdrawalDeferred':
      return `${event.data.withdrawalId} waits: ${event.data.reason}`;
    case 'CoinsReleased': {
      const { payoutId, outpoints, reason } = event.data;
      const coins = outpoints.map((outpoint) => `${short(outpoint)}:${outpoint.slice(65)}`);
      return `payout ${short(payoutId)} gives back ${coins.join(' ')} (${reason})`;
    }
    default:
      return undefined;
  }
}
