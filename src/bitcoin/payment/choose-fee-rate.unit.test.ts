import { describe, expect, it } from 'vitest';
import { feeSourceSchema } from '../../domain/events/payout-events.js';
import { chooseFeeRate, inWords, type FeeRateParameters } from './choose-fee-rate.js';

const BASE: FeeRateParameters = {
  estimateSatsPerKvb: 12_345n,
  confirmationTarget: 6,
  minimumSatsPerKvb: 1_000n,
  maximumSatsPerKvb: 500_000n,
  fallbackSatsPerKvb: 5_000n,
};
const OVERDUE = { previousSatsPerKvb: 20_000n, incrementalSatsPerKvb: 1_000n, blocks: 0 };

describe('the fee rate', () => {
  it.each<[string, Partial<FeeRateParameters>, string, bigint, string]>([
    ['what the node estimates', {}, 'estimate', 12_345n, "The node's estimate for 6 blocks: 12.345 sat/vB."],
    [
      'the fallback without an estimate',
      { estimateSatsPerKvb: undefined },
      'fallback',
      5_000n,
      'The node has no estimate for 6 blocks; the fallback is 5 sat/vB.',
    ],
    [
      'the fallback for an estimate that is none',
      { estimateSatsPerKvb: -1n, confirmationTarget: 1 },
      'fallback',
      5_000n,
      'The node has no estimate for 1 block; the fallback is 5 sat/vB.',
    ],
    [
      'at least what the node relays',
      { estimateSatsPerKvb: 500n },
      'floor',
      1_000n,
      "The least that the node relays, 1 sat/vB. The node's estimate for 6 blocks: 0.5 sat/vB.",
    ],
    [
      'at least what the node relays, of the fallback',
      { estimateSatsPerKvb: undefined, minimumSatsPerKvb: 9_000n },
      'floor',
      9_000n,
      'The least that the node relays, 9 sat/vB. The node has no estimate for 6 blocks; the fallback is 5 sat/vB.',
    ],
    [
      'at most the maximum, however absurd the estimate',
      { estimateSatsPerKvb: 10n ** 12n },
      'cap',
      500_000n,
      "The most that we pay, 500 sat/vB. The node's estimate for 6 blocks: 1000000000 sat/vB.",
    ],
    ['what a person asks for', { askedSatsPerKvb: 30_000n }, 'asked', 30_000n, 'Asked for: 30 sat/vB.'],
    [
      'what a person asks for, at least what is relayed',
      { askedSatsPerKvb: 10n },
      'floor',
      1_000n,
      'The least that the node relays, 1 sat/vB. Asked for: 0.01 sat/vB.',
    ],
    [
      'above the last payment when it is due',
      { overdue: OVERDUE },
      'deadline',
      21_000n,
      'Overdue by 0 blocks at 20 sat/vB: raised to 21 sat/vB.',
    ],
    [
      'more the longer it is due',
      { overdue: { ...OVERDUE, blocks: 5 } },
      'deadline',
      30_000n,
      'Overdue by 5 blocks at 20 sat/vB: raised to 30 sat/vB.',
    ],
    [
      'but not without end',
      { overdue: { ...OVERDUE, blocks: 1_000_000 } },
      'deadline',
      60_000n,
      'Overdue by 1000000 blocks at 20 sat/vB: raised to 60 sat/vB.',
    ],
    [
      'the estimate where that is more',
      { estimateSatsPerKvb: 80_000n, overdue: OVERDUE },
      'estimate',
      80_000n,
      "The node's estimate for 6 blocks: 80 sat/vB.",
    ],
    [
      'raised without any estimate',
      { estimateSatsPerKvb: undefined, fallbackSatsPerKvb: null, overdue: OVERDUE },
      'deadline',
      21_000n,
      'Overdue by 0 blocks at 20 sat/vB: raised to 21 sat/vB.',
    ],
    [
      'raised up to the maximum',
      { maximumSatsPerKvb: 25_000n, overdue: { ...OVERDUE, blocks: 9 } },
      'cap',
      25_000n,
      'The most that we pay, 25 sat/vB. Overdue by 9 blocks at 20 sat/vB: raised to 38 sat/vB.',
    ],
  ])('is %s', (_, changes, source, feeRateSatsPerKvb, reason) => {
    expect(chooseFeeRate({ ...BASE, ...changes })).toEqual({ kind: 'chosen', source, feeRateSatsPerKvb, reason });
    expect(feeSourceSchema.safeParse(source).success).toBe(true);
  });

  it.each<[string, Partial<FeeRateParameters>, string]>([
    ['nothing says what is due', { estimateSatsPerKvb: undefined, fallbackSatsPerKvb: null }, 'node-unavailable'],
    ['the node relays nothing below what is above the maximum', { minimumSatsPerKvb: 500_001n }, 'fee-above-bound'],
    ['a person asks for more than the maximum', { askedSatsPerKvb: 500_001n }, 'fee-above-bound'],
    ['the least raise is above the maximum', { maximumSatsPerKvb: 20_999n, overdue: OVERDUE }, 'fee-above-bound'],
  ])('is refused where %s', (_, changes, reason) => {
    expect(chooseFeeRate({ ...BASE, ...changes })).toMatchObject({ kind: 'refused', reason });
  });

  it('is written in satoshis per vbyte', () => {
    expect([1n, 1_000n, 1_500n, 12_345n, 0n].map(inWords)).toEqual([
      '0.001 sat/vB',
      '1 sat/vB',
      '1.5 sat/vB',
      '12.345 sat/vB',
      '0 sat/vB',
    ]);
  });
});
