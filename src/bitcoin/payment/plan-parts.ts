import { MAX_PAYOUT_INPUTS } from '../../domain/events/payout-events.js';
import { invariant } from '../../platform/assert.js';
import type { ScriptKind } from '../descriptors/parse-descriptor.js';
import type { PlannedTransaction } from '../../domain/events/payout-events.js';
import type { Coin } from './coin.js';
import { dustLimitSats } from './dust.js';
import type { Random } from './random-order.js';
import type { SelectCoinsParameters, SelectedCoins } from './select-coins.js';
import { inputWeight, outputWeight } from './transaction-weight.js';

/** `MAX_STANDARD_TX_WEIGHT` of Bitcoin Core: heavier ones are not relayed. */
export const MAX_STANDARD_WEIGHT = 400_000;

/** What a withdrawal is paid: a separate output, also where two have the same script. */
export interface Recipient {
  readonly withdrawalId: string;
  /** In hex. */
  readonly script: string;
  readonly amountSats: bigint;
}

/** Where change goes: the next unused script of branch 1, of this kind. */
export interface ChangeScript {
  /** In hex. */
  readonly script: string;
  readonly index: number;
  readonly kind: ScriptKind;
}

/** What every plan needs to know. */
export interface PlanningParameters {
  /** What may be spent now: nobody's reservation, mature. Those without a block are our own change. */
  coins: readonly Coin[];
  change: ChangeScript;
  feeRateSatsPerKvb: bigint;
  /** What a coin will cost to spend one day: change is made, and coins get together, by it. */
  longTermFeeRateSatsPerKvb: bigint;
  /** The most that the network may be paid; null: no bound. What is left to the fee because it is not worth a change does not count. */
  maxFeeSats: bigint | null;
  maxInputs: number;
  maxWeight: number;
  /** Height of the tip, for the lock time; null where the chain is being caught up with: then there is no lock time. */
  tipHeight: number | null;
  /** What the scriptSig of an sh(wpkh) coin pushes, in hex (`redeemScriptAt`). Asked for the coins that are spent, and only of that kind. */
  redeemScriptOf: (coin: Coin) => string;
  random: Random;
}

export interface Planned {
  kind: 'planned';
  transaction: PlannedTransaction;
  /** Inputs that no earlier candidate had: to be reserved before it is signed. */
  added: Coin[];
  /** Where the change is; null without. */
  changeVout: number | null;
  by: SelectedCoins['by'];
}

export type NotPlannedReason = 'wallet-too-low' | 'fee-above-bound' | 'fee-too-low' | 'not-replaceable';

export interface NotPlanned {
  kind: 'refused';
  reason: NotPlannedReason;
  /** One sentence for people. */
  detail: string;
}

export function notPlanned(reason: NotPlannedReason, detail: string): NotPlanned {
  return { kind: 'refused', reason, detail };
}

/** Sum, number and weight of outputs with these scripts. */
export function paymentsOf(
  recipients: readonly Recipient[],
): Pick<SelectCoinsParameters, 'paysSats' | 'outputs' | 'outputsWeight'> {
  return {
    paysSats: recipients.reduce((sum, { amountSats }) => sum + amountSats, 0n),
    outputs: recipients.length,
    outputsWeight: recipients.reduce((sum, { script }) => sum + outputWeight(script.length / 2), 0),
  };
}

export function changeCostOf({ script, kind }: ChangeScript): NonNullable<SelectCoinsParameters['change']> {
  return {
    outputWeight: outputWeight(script.length / 2),
    spendWeight: inputWeight(kind),
    dustSats: dustLimitOf(script),
  };
}

/** @param script in hex */
export function dustLimitOf(script: string): bigint {
  return dustLimitSats(Buffer.from(script, 'hex'));
}

/** Asserts bounds that a configuration or a caller can get wrong, before anything is chosen. */
export function checkBounds({ maxInputs, maxWeight }: { maxInputs: number; maxWeight: number }): void {
  invariant(maxInputs >= 1 && maxInputs <= MAX_PAYOUT_INPUTS, `at most ${maxInputs} inputs`);
  invariant(maxWeight >= 1 && maxWeight <= MAX_STANDARD_WEIGHT, `a weight of at most ${maxWeight}`);
}

/** Why the coins do not do, for people. */
export function tooLow(missingSats: bigint, limited: boolean): NotPlanned {
  const short = `The coins that may be spent now lack ${missingSats} satoshis for the payments and the fee`;
  return notPlanned(
    'wallet-too-low',
    limited ? `${short}, taking as many of the largest as one transaction may have.` : `${short}.`,
  );
}
