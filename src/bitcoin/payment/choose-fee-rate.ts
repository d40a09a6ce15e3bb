import type { z } from 'zod';
import type { feeSourceSchema } from '../../domain/events/payout-events.js';
import { invariant } from '../../platform/assert.js';

export type FeeSource = z.infer<typeof feeSourceSchema>;

export interface FeeRateParameters {
  /** What the node expects to be confirmed in `confirmationTarget` blocks; undefined where it has no estimate. All rates in satoshis per 1000 vbytes. */
  estimateSatsPerKvb: bigint | undefined;
  confirmationTarget: number;
  /** The node's relay minimum now: below it nothing is relayed. */
  minimumSatsPerKvb: bigint;
  /** No estimate, however high, makes us pay more (`MAX_FEE_RATE`). */
  maximumSatsPerKvb: bigint;
  /** For a node without an estimate; null: wait until it has one. */
  fallbackSatsPerKvb: bigint | null;
  /** A person's choice, in place of the estimate. */
  askedSatsPerKvb?: bigint | undefined;
  /** For a payment that is to be replaced because its target was missed. */
  overdue?: {
    /** What the last candidate pays. */
    previousSatsPerKvb: bigint;
    /** The node's incremental relay fee. */
    incrementalSatsPerKvb: bigint;
    /** Since its target passed. */
    blocks: number;
  };
}

export interface ChosenFeeRate {
  kind: 'chosen';
  feeRateSatsPerKvb: bigint;
  source: FeeSource;
  /** Why, in a sentence. */
  reason: string;
}

export interface NoFeeRate {
  kind: 'refused';
  reason: 'node-unavailable' | 'fee-above-bound';
  detail: string;
}

/** With each block that it is overdue a replacement pays this much more than the payment before it, up to three times as much. */
const RAISE_PERCENT_PER_BLOCK = 10;
const MAX_RAISE_PERCENT = 200;

/**
 * The rate that a payment is made for: the node's estimate, or what a person asked for, or the fallback; at least what the node
 * relays and, for a replacement that is due, more than before the longer it is overdue; at most the maximum. Refused where the
 * least that would work is above the maximum, where a person asks for more than it, and where nothing says what is due.
 */
export function chooseFeeRate(parameters: FeeRateParameters): ChosenFeeRate | NoFeeRate {
  const { minimumSatsPerKvb: minimum, maximumSatsPerKvb: maximum, askedSatsPerKvb: asked } = parameters;
  invariant(minimum >= 0n && maximum > 0n, 'fee rates are not negative');
  if (minimum > maximum) {
    return aboveBound(
      `The node relays nothing below ${inWords(minimum)}; the most that we pay is ${inWords(maximum)}.`,
    );
  }
  if (asked !== undefined && asked > maximum) {
    return aboveBound(`Asked for were ${inWords(asked)}; the most that we pay is ${inWords(maximum)}.`);
  }
  const wanted = wantedRate(parameters);
  const raised = raisedRate(parameters);
  if (raised !== undefined && raised.least > maximum) {
    return aboveBound(
      `A replacement must pay at least ${inWords(raised.least)}; the most that we pay is ${inWords(maximum)}.`,
    );
  }
  const best = highest([wanted, raised?.chosen]);
  if (best === undefined) {
    return {
      kind: 'refused',
      reason: 'node-unavailable',
      detail: `The node has no estimate for ${parameters.confirmationTarget} blocks, and no fallback is set.`,
    };
  }
  if (best.feeRateSatsPerKvb < minimum) {
    const reason = `The least that the node relays, ${inWords(minimum)}. ${best.reason}`;
    return { kind: 'chosen', feeRateSatsPerKvb: minimum, source: 'floor', reason };
  }
  if (best.feeRateSatsPerKvb > maximum) {
    const reason = `The most that we pay, ${inWords(maximum)}. ${best.reason}`;
    return { kind: 'chosen', feeRateSatsPerKvb: maximum, source: 'cap', reason };
  }
  return best;
}

/** `12.5 sat/vB`. */
export function inWords(rateSatsPerKvb: bigint): string {
  const thousandths = (rateSatsPerKvb % 1000n).toString().padStart(3, '0').replace(/0+$/, '');
  return `${rateSatsPerKvb / 1000n}${thousandths === '' ? '' : `.${thousandths}`} sat/vB`;
}

function wantedRate(parameters: FeeRateParameters): ChosenFeeRate | undefined {
  const { estimateSatsPerKvb: estimate, fallbackSatsPerKvb: fallback, askedSatsPerKvb: asked } = parameters;
  const blocks = `${parameters.confirmationTarget} ${parameters.confirmationTarget === 1 ? 'block' : 'blocks'}`;
  if (asked !== undefined) return chosen(asked, 'asked', `Asked for: ${inWords(asked)}.`);
  // bitcoind and btcd say that they do not know with -1 or 0.
  if (estimate !== undefined && estimate > 0n) {
    return chosen(estimate, 'estimate', `The node's estimate for ${blocks}: ${inWords(estimate)}.`);
  }
  if (fallback === null) return undefined;
  return chosen(fallback, 'fallback', `The node has no estimate for ${blocks}; the fallback is ${inWords(fallback)}.`);
}

function raisedRate({ overdue }: FeeRateParameters): { least: bigint; chosen: ChosenFeeRate } | undefined {
  if (overdue === undefined) return undefined;
  const { previousSatsPerKvb: previous, incrementalSatsPerKvb: incremental, blocks } = overdue;
  invariant(Number.isInteger(blocks) && blocks >= 0, `overdue by ${blocks} blocks`);
  const percent = BigInt(Math.min(blocks * RAISE_PERCENT_PER_BLOCK, MAX_RAISE_PERCENT));
  const least = previous + incremental;
  const byTime = (previous * (100n + percent) + 99n) / 100n;
  const rate = byTime > least ? byTime : least;
  const reason = `Overdue by ${blocks} ${blocks === 1 ? 'block' : 'blocks'} at ${inWords(previous)}: raised to ${inWords(rate)}.`;
  return { least, chosen: chosen(rate, 'deadline', reason) };
}

/** The former of equals: an estimate says more than a deadline. */
function highest(rates: readonly (ChosenFeeRate | undefined)[]): ChosenFeeRate | undefined {
  return rates.reduce((best, rate) =>
    best === undefined || (rate !== undefined && rate.feeRateSatsPerKvb > best.feeRateSatsPerKvb) ? rate : best,
  );
}

function chosen(feeRateSatsPerKvb: bigint, source: FeeSource, reason: string): ChosenFeeRate {
  return { kind: 'chosen', feeRateSatsPerKvb, source, reason };
}

function aboveBound(detail: string): NoFeeRate {
  return { kind: 'refused', reason: 'fee-above-bound', detail };
}
