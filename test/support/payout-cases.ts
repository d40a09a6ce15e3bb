import type { DomainEvent } from '../../src/domain/events/event-types.js';
import type {
  CandidatePrepared,
  CandidateSigned,
  PaidWithdrawal,
  PayoutStarted,
  PlannedTransaction,
} from '../../src/domain/events/payout-events.js';
import { evolvePayout, initialPayoutState, type PayoutState } from '../../src/domain/payout/payout-state.js';

/** A txid or hash that can be told apart by its number. */
export function hashOf(n: number): string {
  return n.toString(16).padStart(64, '0');
}

/** A p2wpkh script that can be told apart by its number. */
export function scriptOf(n: number): string {
  return `0014${n.toString(16).padStart(40, '0')}`;
}

export function paid(n: number, change: Partial<PaidWithdrawal> = {}): PaidWithdrawal {
  return {
    withdrawalId: `w${n}`,
    accountId: `a${n}`,
    address: `address-${n}`,
    script: scriptOf(n),
    amountSats: '10000',
    maxFeeSats: '1000',
    ...change,
  };
}

export function startedWith(
  withdrawals: readonly PaidWithdrawal[],
  change: Partial<PayoutStarted> = {},
): PayoutStarted {
  return {
    payoutId: 'p',
    walletId: 'hot',
    signer: 'local',
    withdrawals: [...withdrawals],
    confirmationTarget: 6,
    completeAt: 2,
    finalAt: 10,
    ...change,
  };
}

/** Each coin is output 0 of the transaction with its number and is worth 100,000 satoshis. */
export const COIN_SATS = 100_000n;

/** A transaction that spends these coins and pays these withdrawals, with one change output. */
export function planOf(
  coins: readonly number[],
  withdrawals: readonly PaidWithdrawal[],
  change: Partial<PlannedTransaction> & { fee?: bigint } = {},
): PlannedTransaction {
  const { fee = 500n, ...rest } = change;
  const paidSats = withdrawals.reduce((sum, { amountSats }) => sum + BigInt(amountSats), 0n);
  const left = COIN_SATS * BigInt(coins.length) - paidSats - fee;
  return {
    version: 2,
    locktime: 0,
    inputs: coins.map((n) => ({
      txid: hashOf(n),
      vout: 0,
      amountSats: COIN_SATS.toString(),
      script: scriptOf(n),
      derivation: { branch: 0, index: n },
      sequence: 0xffff_fffd,
      blockHash: hashOf(n),
    })),
    outputs: [
      ...withdrawals.map(({ script, amountSats, withdrawalId }) => ({
        script,
        amountSats,
        withdrawalId,
        changeIndex: null,
      })),
      { script: scriptOf(9_999), amountSats: left.toString(), withdrawalId: null, changeIndex: 0 },
    ],
    feeSats: fee.toString(),
    weight: 1_000,
    feeRateSatsPerKvb: '2000',
    txid: null,
    ...rest,
  };
}

export function prepared(
  candidate: number,
  transaction: PlannedTransaction,
  kind: CandidatePrepared['kind'] = 'payment',
): CandidatePrepared {
  return { payoutId: 'p', candidate, kind, transaction, feeSource: 'estimate', feeReason: 'the node says so' };
}

export function signedForm(candidate: number, transaction: PlannedTransaction, txid: string): CandidateSigned {
  return {
    payoutId: 'p',
    candidate,
    txid,
    transaction: '00',
    inputs: transaction.inputs.map((input) => `${input.txid}:${input.vout}`),
    changeVouts: transaction.outputs.flatMap(({ changeIndex }, vout) => (changeIndex === null ? [] : [vout])),
    feeSats: transaction.feeSats,
    weight: transaction.weight,
  };
}

export function payoutAfter(...events: readonly DomainEvent[]): PayoutState {
  return events.reduce(evolvePayout, initialPayoutState);
}
