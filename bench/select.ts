import type { Coin } from '../src/bitcoin/payment/coin.js';
import { planPayment, type PlanPaymentParameters } from '../src/bitcoin/payment/plan-payment.js';
import type { BenchRow } from './bench-row.js';
import { medianTimesMs } from './median-times.js';

const COINS = 100_000;
const PAYMENTS = 200;
const GOAL_MS = 20;
const GOAL_SORTS = 2;
const SEED = 20_261_121;

/**
 * A payment of 200 withdrawals out of 100,000 coins, planned whole: coins chosen, outputs and inputs in their order, the txid known.
 * Beside it the same coins sorted once by their amounts, which other wallets do before they begin to choose.
 */
export function runSelectBench({ quick }: { quick: boolean }): Promise<BenchRow[]> {
  const random = seededRandom(SEED);
  const coins = Array.from({ length: COINS }, (_, number) => someCoin(number, random));
  const parameters: PlanPaymentParameters = {
    coins,
    keep: [],
    recipients: Array.from({ length: PAYMENTS }, (_, number) => ({
      withdrawalId: `w-${number}`,
      script: `0014${number.toString(16).padStart(40, '0')}`,
      amountSats: someAmount(random),
    })),
    change: { script: `0014${'cc'.repeat(20)}`, index: 0, kind: 'wpkh' },
    feeRateSatsPerKvb: 12_000n,
    longTermFeeRateSatsPerKvb: 10_000n,
    maxFeeSats: null,
    maxInputs: 600,
    maxWeight: 100_000,
    tipHeight: 900_000,
    redeemScriptOf: () => '',
    random,
  };
  const ways = new Map<string, number>();
  const plan = (longTermFeeRateSatsPerKvb: bigint): void => {
    const planned = planPayment({ ...parameters, longTermFeeRateSatsPerKvb });
    if (planned.kind === 'refused') throw new Error(`the bench's payment is refused: ${planned.detail}`);
    ways.set(planned.by, (ways.get(planned.by) ?? 0) + 1);
  };
  const times = medianTimesMs(
    {
      plan: () => plan(10_000n),
      // Branch and bound cannot stop at the first good set where inputs are cheap now: it uses up its tries.
      lowFees: () => plan(30_000n),
      sort: () => coins.toSorted((a, b) => (a.amountSats < b.amountSats ? 1 : a.amountSats > b.amountSats ? -1 : 0)),
    },
    quick ? { warmUp: 3, counted: 10 } : { warmUp: 5, counted: 40 },
  );
  const rowOf = (measure: string, timeMs: number): BenchRow => ({
    bench: 'select',
    measure,
    value: `${timeMs.toFixed(1)} ms`,
    reference: `sorting the coins once by amount: ${times.sort.toFixed(1)} ms`,
    ratio: timeMs / times.sort,
    goal: `≤ ${GOAL_MS} ms and ≤ ${GOAL_SORTS}`,
    met: timeMs <= GOAL_MS && timeMs <= GOAL_SORTS * times.sort,
  });
  return Promise.resolve([
    {
      ...rowOf('a payment of 200 withdrawals out of 100,000 coins, planned whole', times.plan),
      note: `chosen by: ${[...ways].map(([by, count]) => `${by} ${count} times`).join(', ')}`,
    },
    rowOf('the same where the long-term fee rate is higher than the present', times.lowFees),
  ]);
}

/** From some hundred satoshis to some bitcoin, as wallets of deposits have them: log-uniform. */
function someAmount(random: () => number): bigint {
  return BigInt(Math.floor(1_000 * 10 ** (4 * random())));
}

function someCoin(number: number, random: () => number): Coin {
  return {
    txid: number.toString(16).padStart(64, '0'),
    vout: 0,
    amountSats: someAmount(random),
    script: `0014${'ab'.repeat(20)}`,
    kind: 'wpkh',
    derivation: { branch: 0, index: number },
    blockHash: 'ee'.repeat(32),
    confirmations: 10,
  };
}

/** The same numbers in every run (a linear congruence, as in Numerical Recipes). */
function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}
