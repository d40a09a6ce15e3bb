import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { seededRandom, testCoin } from '../../../test/support/test-coins.js';
import type { ScriptKind } from '../descriptors/parse-descriptor.js';
import { branchAndBound } from './branch-and-bound.js';
import type { Coin } from './coin.js';
import { createCoinPool } from './coin-pool.js';
import { feeRule } from './fee-rule.js';
import { selectCoins, type SelectCoinsParameters } from './select-coins.js';
import { inputWeight, outputWeight, shapeOf, transactionWeight } from './transaction-weight.js';

const KINDS: readonly ScriptKind[] = ['pkh', 'sh-wpkh', 'wpkh', 'tr'];
const PAID_SCRIPT = `0014${'11'.repeat(20)}`;
const CHANGE_SCRIPT = `5120${'22'.repeat(32)}`;

/** All of this is whole numbers or bigint, and nothing of it is the code under test but the weight, which has its own tests. */
interface Case {
  coins: Coin[];
  kept: number;
  paysSats: bigint;
  ratePerKvb: bigint;
  longTermPerKvb: bigint;
  maxInputs: number;
  maxWeight: number;
  seed: number;
}

interface Outcome {
  changeSats: bigint;
  waste: number;
}

const someCase = fc.record({
  amounts: fc.array(fc.tuple(fc.bigInt({ min: 1n, max: 20_000n }), fc.constantFrom(...KINDS)), {
    minLength: 1,
    maxLength: 10,
  }),
  oneKind: fc.option(fc.constantFrom(...KINDS)),
  kept: fc.integer({ min: 0, max: 2 }),
  paysSats: fc.bigInt({ min: 300n, max: 60_000n }),
  ratePerKvb: fc.bigInt({ min: 0n, max: 30_000n }),
  longTermPerKvb: fc.bigInt({ min: 0n, max: 20_000n }),
  maxInputs: fc.integer({ min: 2, max: 12 }),
  maxWeight: fc.oneof(fc.constant(400_000), fc.integer({ min: 800, max: 4_000 })),
  seed: fc.integer(),
});

function caseOf({ amounts, oneKind, kept, ...rest }: typeof someCase extends fc.Arbitrary<infer T> ? T : never): Case {
  const coins = amounts.map(([sats, kind], number) => testCoin(number, sats, oneKind ?? kind));
  return { ...rest, coins, kept: Math.min(kept, coins.length) };
}

function parametersOf({
  coins,
  kept,
  paysSats,
  ratePerKvb,
  longTermPerKvb,
  maxInputs,
  maxWeight,
  seed,
}: Case): SelectCoinsParameters {
  return {
    coins: coins.slice(kept),
    keep: coins.slice(0, kept),
    paysSats,
    outputs: 1,
    outputsWeight: outputWeight(22),
    change: { outputWeight: outputWeight(34), spendWeight: inputWeight('tr'), dustSats: 330n },
    feeRule: feeRule({ fixedSats: 0n, rateSatsPerKvb: ratePerKvb }),
    longTermFeeRateSatsPerKvb: longTermPerKvb,
    maxInputs,
    maxWeight,
    maxFeeSats: null,
    random: seededRandom(seed),
  };
}

/** What these coins would do, by the definition; undefined where they do not pay. */
function outcomeOf(
  some: readonly Coin[],
  { paysSats, ratePerKvb, longTermPerKvb, maxInputs, maxWeight }: Case,
): Outcome | undefined {
  if (some.length > maxInputs) return undefined;
  const kinds = some.map(({ kind }) => kind);
  const inputSats = some.reduce((sum, { amountSats }) => sum + amountSats, 0n);
  const plain = transactionWeight(shapeOf(kinds, [PAID_SCRIPT]));
  const changed = transactionWeight(shapeOf(kinds, [PAID_SCRIPT, CHANGE_SCRIPT]));
  const fee = (weight: number): bigint => (ratePerKvb * BigInt(Math.ceil(weight / 4)) + 999n) / 1000n;
  const excess = inputSats - paysSats - fee(plain);
  if (excess < 0n) return undefined;
  const inputsWeight = kinds.reduce((sum, kind) => sum + inputWeight(kind), 0);
  const inputWaste = (inputsWeight * Number(ratePerKvb - longTermPerKvb)) / 4000;
  const spendFee = (inputWeight('tr') * Number(longTermPerKvb)) / 4000;
  const changeSats = inputSats - paysSats - fee(changed);
  if (changeSats >= 330n && Number(changeSats) > spendFee) {
    return changed > maxWeight
      ? undefined
      : { changeSats, waste: inputWaste + Number(fee(changed) - fee(plain)) + spendFee };
  }
  return plain > maxWeight ? undefined : { changeSats: 0n, waste: inputWaste + Number(excess) };
}

/** Coins that bring more than they cost, the most valuable first. */
function worthwhile({ coins, kept, ratePerKvb }: Case): Coin[] {
  const effective = ({ amountSats, kind }: Coin): number =>
    Number(amountSats) - (inputWeight(kind) * Number(ratePerKvb)) / 4000;
  return coins
    .slice(kept)
    .filter((coin) => effective(coin) > 0)
    .sort((a, b) => effective(b) - effective(a));
}

/** Every set of worthwhile coins with those that are kept, each with the sets that adding its coins one by one goes through. */
function* everySet(given: Case): Generator<{ set: Coin[]; before: Coin[][] }> {
  const more = worthwhile(given);
  const keep = given.coins.slice(0, given.kept);
  for (let bits = 0; bits < 2 ** more.length; bits++) {
    const chosen = more.filter((_, index) => (bits >>> index) & 1);
    yield {
      set: [...keep, ...chosen],
      before: chosen.map((_, count) => [...keep, ...chosen.slice(0, count)]),
    };
  }
}

describe('coin selection against every set of a small wallet', () => {
  it('finds the set without change that wastes least, takes nothing worse, and never says too low where there is a way', () => {
    let withoutChange = 0;
    let tooLow = 0;
    fc.assert(
      fc.property(someCase.map(caseOf), (given) => {
        const selected = selectCoins(parametersOf(given));
        const enoughKept = given.kept > 0 && outcomeOf(given.coins.slice(0, given.kept), given) !== undefined;
        if (enoughKept) {
          expect(selected).toMatchObject({ kind: 'selected', by: 'kept' });
          return;
        }
        const paying = [...everySet(given)].flatMap(({ set, before }) => {
          const outcome = outcomeOf(set, given);
          const needsAll = before.every(
            (fewer) => outcomeOf(fewer, { ...given, maxWeight: Infinity, maxInputs: Infinity }) === undefined,
          );
          return outcome ? [{ ...outcome, needsAll }] : [];
        });
        const exact = paying.filter(({ changeSats, needsAll }) => changeSats === 0n && needsAll);
        const least = Math.min(...exact.map(({ waste }) => waste));
        if (selected.kind === 'too-low') {
          tooLow++;
          // A bound on weight with coins of several kinds is a knapsack: the largest first may miss a way there.
          if (given.maxWeight === 400_000) expect(paying).toEqual([]);
          expect(exact).toEqual([]);
          return;
        }
        expect(selected.kind).toBe('selected');
        if (selected.kind !== 'selected') return;
        const own = outcomeOf(selected.coins, given);
        expect(own?.changeSats).toBe(selected.changeSats);
        expect(selected.wasteSats).toBeCloseTo(own?.waste ?? Number.NaN, 6);
        expect(selected.wasteSats).toBeLessThanOrEqual(least + 1e-6);
        if (selected.by === 'branch-and-bound') {
          withoutChange++;
          expect(selected.wasteSats).toBeCloseTo(least, 6);
        }
      }),
      { numRuns: 1_500 },
    );
    // The cases are such that all of this was looked at.
    expect(withoutChange).toBeGreaterThan(100);
    expect(tooLow).toBeGreaterThan(100);
  });

  it('spends no coin that costs more than it brings, however low the long-term rate makes the waste', () => {
    const coins = [testCoin(0, 50_000n), testCoin(1, 679n), testCoin(2, 680n), testCoin(3, 681n)];
    // 68 vbytes at 10 sat/vB.
    const pool = createCoinPool(coins, 10_000);
    expect([...pool.source.subarray(0, pool.size)]).toEqual([0, 3]);
  });
});

describe('coin selection', () => {
  const base: Case = {
    coins: [],
    kept: 0,
    paysSats: 100_000n,
    ratePerKvb: 10_000n,
    longTermPerKvb: 5_000n,
    maxInputs: 600,
    maxWeight: 400_000,
    seed: 1,
  };

  it('counts a coin that is listed twice once', () => {
    const coins = [testCoin(1, 60_000n), testCoin(1, 60_000n)];
    expect(selectCoins(parametersOf({ ...base, coins }))).toMatchObject({ kind: 'too-low' });
    const third = testCoin(2, 60_000n);
    const selected = selectCoins(parametersOf({ ...base, coins: [...coins, third] }));
    expect(selected.kind === 'selected' && new Set(selected.coins.map(({ txid }) => txid)).size).toBe(2);
  });

  it('does not spend again what is kept', () => {
    const parameters = parametersOf({ ...base, coins: [testCoin(1, 60_000n), testCoin(1, 60_000n)], kept: 1 });
    expect(selectCoins(parameters)).toMatchObject({ kind: 'too-low' });
  });

  it('says what is missing', () => {
    const coins = [testCoin(1, 40_000n), testCoin(2, 30_000n)];
    // 11 + 2 × 68 + 31 - 0.5 vbytes, rounded up to 178, at 10 sat/vB.
    expect(selectCoins(parametersOf({ ...base, coins }))).toEqual({
      kind: 'too-low',
      missingSats: 31_780n,
      limited: false,
    });
  });

  it('says that there are more coins than fit', () => {
    const coins = Array.from({ length: 50 }, (_, number) => testCoin(number, 10_000n));
    expect(selectCoins(parametersOf({ ...base, coins, maxInputs: 5 }))).toMatchObject({
      kind: 'too-low',
      limited: true,
    });
    expect(selectCoins(parametersOf({ ...base, coins, maxWeight: 2_000 }))).toMatchObject({
      kind: 'too-low',
      limited: true,
    });
    expect(selectCoins(parametersOf({ ...base, coins }))).toMatchObject({ kind: 'selected' });
  });

  it('takes the way with the lowest fee where the one with the least waste is above the bound, and none above it', () => {
    const coins = [testCoin(0, 500_000n), ...Array.from({ length: 60 }, (_, number) => testCoin(number + 1, 20_000n))];
    const low: Case = { ...base, coins, ratePerKvb: 2_000n, longTermPerKvb: 50_000n };
    const free = selectCoins(parametersOf(low));
    const bound = selectCoins({ ...parametersOf(low), maxFeeSats: 400n });
    expect(free.kind === 'selected' && free.feeSats > 400n).toBe(true);
    expect(bound).toMatchObject({ kind: 'selected', by: 'largest-first', feeSats: 306n });
    expect(selectCoins({ ...parametersOf(low), maxFeeSats: 305n })).toEqual({ kind: 'too-dear', feeSats: 306n });
  });

  it('is exact to the satoshi with all the money that there is', () => {
    const coins = [testCoin(1, 2_099_999_999_999_990n), testCoin(2, 9n)];
    const all: Case = { ...base, coins, paysSats: 2_099_999_999_999_880n, ratePerKvb: 1_000n };
    // 110 vbytes: it is just enough, and with one satoshi more it is not.
    expect(selectCoins(parametersOf(all))).toMatchObject({ kind: 'selected', feeSats: 110n, changeSats: 0n });
    const more = { ...all, paysSats: all.paysSats + 1n };
    expect(selectCoins(parametersOf(more))).toMatchObject({ kind: 'too-low', missingSats: 1n });
  });

  it('ends where branch and bound alone would try for ever', () => {
    // Even coins never add up to an odd amount, and nothing but change may be left over: 2^60 sets to try.
    const coins = Array.from({ length: 60 }, (_, number) => testCoin(number, 2n * BigInt(1_000_000 + number ** 3)));
    const parameters = parametersOf({ ...base, coins, paysSats: 60_000_001n, ratePerKvb: 0n, longTermPerKvb: 0n });
    const change = { outputWeight: outputWeight(34), spendWeight: inputWeight('tr'), dustSats: 0n };
    expect(selectCoins({ ...parameters, change })).toMatchObject({ kind: 'selected' });
  });

  it('gives up after the tries that it is allowed', () => {
    const pool = createCoinPool([testCoin(1, 30_000n), testCoin(2, 20_000n), testCoin(3, 10_000n)], 0);
    const target = {
      kept: { sats: 0, inputs: 0, inputsWithoutWitness: 0, inputsWeight: 0 },
      paysSats: 30_000,
      outputs: 1,
      outputsWeight: outputWeight(22),
      change: { outputWeight: outputWeight(34), spendFeeSats: 0, dustSats: 330 },
      feeRule: feeRule({ fixedSats: 0n, rateSatsPerKvb: 0n }),
      longTermRatePerKvb: 0,
      maxInputs: 10,
      maxWeight: 400_000,
      maxFeeSats: Infinity,
    };
    expect(branchAndBound(pool, target)?.picked).toEqual([0]);
    expect(branchAndBound(pool, target, 1)).toBeUndefined();
  });

  it('makes the same choice from the same numbers', () => {
    const random = seededRandom(5);
    const coins = Array.from({ length: 3_000 }, (_, number) => testCoin(number, BigInt(Math.floor(random() * 1e6))));
    const once = selectCoins(parametersOf({ ...base, coins, paysSats: 30_000_000n }));
    expect(selectCoins(parametersOf({ ...base, coins, paysSats: 30_000_000n }))).toEqual(once);
  });
});
