import type { PlannedOutput } from '../../domain/events/payout-events.js';
import { invariant } from '../../platform/assert.js';
import { assembleTransaction } from './assemble-transaction.js';
import type { Coin } from './coin.js';
import { feeRule, type FeeRule } from './fee-rule.js';
import {
  changeCostOf,
  checkBounds,
  notPlanned,
  paymentsOf,
  tooLow,
  type ChangeScript,
  type NotPlanned,
  type Planned,
  type PlanningParameters,
  type Recipient,
} from './plan-parts.js';
import { selectCoins } from './select-coins.js';

export interface PlanPaymentParameters extends PlanningParameters {
  /** Inputs of what was prepared before for the same payout and never signed: all of them are in again. */
  keep: readonly Coin[];
  recipients: readonly Recipient[];
}

/**
 * Plans the first transaction of a payout: which coins pay these withdrawals at this fee rate, and whether there is change.
 * Refused with `wallet-too-low` or `fee-above-bound`.
 */
export function planPayment(parameters: PlanPaymentParameters): Planned | NotPlanned {
  invariant(parameters.recipients.length > 0, 'a payment has a recipient');
  return planWithRule(parameters, feeRule({ fixedSats: 0n, rateSatsPerKvb: parameters.feeRateSatsPerKvb }));
}

/** The same for any rule of what the fee must be. */
export function planWithRule(parameters: PlanPaymentParameters, rule: FeeRule): Planned | NotPlanned {
  checkBounds(parameters);
  const { keep, recipients, change, feeRateSatsPerKvb } = parameters;
  const selected = selectCoins({
    ...parameters,
    ...paymentsOf(recipients),
    change: changeCostOf(change),
    feeRule: rule,
  });
  if (selected.kind === 'too-low') return tooLow(selected.missingSats, selected.limited);
  if (selected.kind === 'too-dear') {
    return notPlanned(
      'fee-above-bound',
      `The fee would be at least ${selected.feeSats} satoshis; the bound is ${parameters.maxFeeSats}.`,
    );
  }
  const outputs = recipients.map(outputOf);
  if (selected.changeSats > 0n) outputs.push(changeOutput(change, selected.changeSats));
  const transaction = assembleTransaction(selected.coins, outputs, parameters, feeRateSatsPerKvb);
  invariant(transaction.feeSats === selected.feeSats.toString(), 'the fee is the one that was chosen');
  invariant(transaction.weight === selected.weight, 'the weight is the one that was reckoned with');
  const changeVout = transaction.outputs.findIndex(({ changeIndex }) => changeIndex !== null);
  return {
    kind: 'planned',
    transaction,
    added: selected.coins.slice(keep.length),
    changeVout: changeVout < 0 ? null : changeVout,
    by: selected.by,
  };
}

export function changeOutput({ script, index }: ChangeScript, amountSats: bigint): PlannedOutput {
  return { script, amountSats: amountSats.toString(), withdrawalId: null, changeIndex: index };
}

function outputOf({ script, amountSats, withdrawalId }: Recipient): PlannedOutput {
  return { script, amountSats: amountSats.toString(), withdrawalId, changeIndex: null };
}
