import { invariant } from '../../platform/assert.js';
import type { CandidatePrepared, PaidWithdrawal, PlannedTransaction } from '../events/payout-events.js';
import { findOwn, outpointsOf, ownChange, paymentsOfRound } from './payout-candidates.js';
import type { PayoutState } from './payout-state.js';

/**
 * What must hold of every transaction before anybody is asked to sign it. The first rule is the central promise: a payment spends
 * every input of every payment made before it for these withdrawals, so of any two of them at most one can ever confirm, on any
 * branch. Also of those that were voided unsigned, because who was sent one may have signed it.
 *
 * @throws InvariantError
 */
export function assertPlan({ payoutId, candidate, kind, transaction }: CandidatePrepared, state: PayoutState): void {
  const what = `candidate ${candidate} of payout ${payoutId}`;
  const inputs = new Set(outpointsOf(transaction));
  invariant(inputs.size === transaction.inputs.length, `${what} spends each coin once`);
  assertFee(transaction, what);
  if (kind === 'payment') {
    for (const earlier of paymentsOfRound(state)) {
      invariant(
        outpointsOf(earlier.transaction).every((outpoint) => inputs.has(outpoint)),
        `${what} spends every input of candidate ${earlier.candidate}`,
      );
    }
    assertRecipients(transaction, state.withdrawals, what);
    invariant(
      transaction.inputs.every(({ txid }) => findOwn(state, txid) === undefined),
      `${what} does not spend what a candidate of the same payout made`,
    );
  } else {
    assertChild(transaction, inputs, state, what);
  }
}

function assertFee({ inputs, outputs, feeSats }: PlannedTransaction, what: string): void {
  const sum = (parts: readonly { amountSats: string }[]): bigint =>
    parts.reduce((total, { amountSats }) => total + BigInt(amountSats), 0n);
  invariant(sum(inputs) - sum(outputs) === BigInt(feeSats), `${what} pays the fee that it says`);
}

/** Every withdrawal has an output of its own with its script and its exact amount; what else there is, is change. */
function assertRecipients({ outputs }: PlannedTransaction, withdrawals: readonly PaidWithdrawal[], what: string): void {
  const left = new Map(withdrawals.map((withdrawal) => [withdrawal.withdrawalId, withdrawal]));
  for (const { withdrawalId, script, amountSats, changeIndex } of outputs) {
    if (withdrawalId === null) {
      invariant(changeIndex !== null, `${what} pays nobody but its withdrawals and our own change`);
      continue;
    }
    const withdrawal = left.get(withdrawalId);
    invariant(withdrawal !== undefined, `${what} pays withdrawal ${withdrawalId} once, and only while it is in`);
    invariant(
      withdrawal.script === script && withdrawal.amountSats === amountSats && changeIndex === null,
      `${what} pays withdrawal ${withdrawalId} what was asked, where it was asked`,
    );
    left.delete(withdrawalId);
  }
  invariant(left.size === 0, `${what} pays all its withdrawals`);
}

/** A child pays nobody, begins at our own change, and takes no input from under a payment. */
function assertChild(
  { outputs }: PlannedTransaction,
  inputs: ReadonlySet<string>,
  state: PayoutState,
  what: string,
): void {
  const change = ownChange(state);
  invariant(
    [...inputs].some((outpoint) => change.has(outpoint)),
    `${what} spends change of the payout`,
  );
  invariant(
    outputs.every(({ withdrawalId, changeIndex }) => withdrawalId === null && changeIndex !== null),
    `${what} pays nobody`,
  );
  for (const payment of paymentsOfRound(state)) {
    invariant(
      outpointsOf(payment.transaction).every((outpoint) => !inputs.has(outpoint)),
      `${what} leaves the inputs of candidate ${payment.candidate} alone`,
    );
  }
}
