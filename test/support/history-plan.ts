import fc from 'fast-check';

/**
 * Steps of random but consistent histories of a ledger, as `tellHistory` tells them: what a follower would have recorded of a chain with forks, reorgs of reorgs,
 * returns to an older branch, empty reorgs, a transaction in two blocks, double spends across branches, coinbase coins,
 * deposits, transfers and changes of the deposit policy.
 */
export type Step =
  | { kind: 'account' }
  | { kind: 'watch'; account: number; byHand: boolean }
  | { kind: 'transfer'; from: number; to: number; amountSats: number }
  | { kind: 'policy'; depositConfirmations: number; coinbaseMaturity: number }
  | { kind: 'block'; plan: BlockPlan }
  /** Takes `depth` blocks off and connects `length` new ones, or an abandoned branch where there is one to return to. */
  | { kind: 'reorg'; depth: number; back: number | null; plans: BlockPlan[] };

export interface BlockPlan {
  /** Pays one of the scripts with the coinbase. */
  coinbase: number | null;
  transactions: TransactionPlan[];
  /** How many abandoned transactions to take in again, where they are valid. */
  again: number;
  /** A transaction that does not concern us and takes this outside coin. */
  stranger: number | null;
  /** Events of type `TransfersFound` before the block. */
  parts: number;
  /** The follower died after some parts and told them again. */
  died: boolean;
}

export interface TransactionPlan {
  /** Which outside coins it spends; few, so that branches collide. */
  outside: number[];
  /** Which of our coins it spends, as an index into those that are there. */
  ours: number[];
  /** Scripts that it pays. */
  pays: { script: number; amountSats: number }[];
}

const small = fc.integer({ min: 0, max: 9 });
const amount = fc.integer({ min: 1, max: 5_000 });

const transactionPlan: fc.Arbitrary<TransactionPlan> = fc.record({
  outside: fc.uniqueArray(fc.integer({ min: 0, max: 7 }), { minLength: 1, maxLength: 2 }),
  ours: fc.uniqueArray(small, { maxLength: 2 }),
  pays: fc.array(fc.record({ script: small, amountSats: amount }), { maxLength: 3 }),
});

const blockPlan: fc.Arbitrary<BlockPlan> = fc.record({
  coinbase: fc.option(small, { freq: 2 }),
  transactions: fc.array(transactionPlan, { maxLength: 3 }),
  again: fc.integer({ min: 0, max: 2 }),
  stranger: fc.option(fc.integer({ min: 0, max: 7 }), { freq: 3 }),
  parts: fc.integer({ min: 0, max: 2 }),
  died: fc.boolean(),
});

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 1, arbitrary: fc.constant({ kind: 'account' } as const) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('watch' as const),
      account: fc.integer({ min: -1, max: 4 }),
      byHand: fc.boolean(),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constant('transfer' as const), from: small, to: small, amountSats: amount }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('policy' as const),
      depositConfirmations: fc.integer({ min: 1, max: 4 }),
      coinbaseMaturity: fc.integer({ min: 1, max: 6 }),
    }),
  },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('block' as const), plan: blockPlan }) },
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('reorg' as const),
      depth: fc.integer({ min: 1, max: 4 }),
      back: fc.option(small, { freq: 2 }),
      plans: fc.array(blockPlan, { maxLength: 5 }),
    }),
  },
);

export const history: fc.Arbitrary<Step[]> = fc.array(step, { minLength: 5, maxLength: 35 });
