import type { PlannedOutput, PlannedTransaction } from '../../domain/events/payout-events.js';
import { invariant } from '../../platform/assert.js';
import { rateOf } from './assemble-transaction.js';
import { inWords } from './choose-fee-rate.js';
import { coinOfInput, type Coin } from './coin.js';
import { feeAtRate, feeRule } from './fee-rule.js';
import {
  notPlanned,
  type ChangeScript,
  type NotPlanned,
  type Planned,
  type PlanningParameters,
  type Recipient,
} from './plan-parts.js';
import { planWithRule } from './plan-payment.js';
import { kindOfScript } from './script-kind.js';
import { outpointOf } from './unsigned-transaction.js';

/** A payment candidate that a replacement has to outbid, or to be one with. */
export interface EarlierCandidate {
  readonly transaction: PlannedTransaction;
  /** What came back signed: signatures may be shorter than was reckoned, and several signings may have several txids. */
  readonly signed: readonly { readonly txid: string; readonly weight: number }[];
  /** Fees of its children and theirs that the node may hold: they go with it. */
  readonly descendantFeesSats: bigint;
}

export interface PlanReplacementParameters extends PlanningParameters {
  /** All payment candidates of the payout that are not void, the latest last: any of them may be the one that the network has. */
  earlier: readonly EarlierCandidate[];
  /** The node's incremental relay fee. */
  incrementalFeeRateSatsPerKvb: bigint;
  /** The most that may be paid for size, whatever the rules ask (`MAX_FEE_RATE`). */
  maxFeeRateSatsPerKvb: bigint;
  /** Refuse with `fee-too-low` where this rate alone is less than a node takes (a person's choice), instead of raising it. */
  exactRate: boolean;
  /** Change that somebody builds on already: it may not go away. `txid:vout` */
  untouchableChange: ReadonlySet<string>;
}

/**
 * Plans the transaction that replaces all earlier candidates: it spends every input of theirs and pays every recipient the exact
 * amount, so whichever is confirmed, it is the only one. It pays the rate asked for, and at least what lets it into a mempool
 * that holds any of them (BIP125, rules 3 and 4: all that they pay, and the incremental fee for its own size; and a higher rate
 * than theirs, as Bitcoin Core demands). The fee comes from the change, which goes where it is not worth having any more; where
 * that does not suffice confirmed coins are added (rule 2: no unconfirmed ones).
 */
export function planReplacement(parameters: PlanReplacementParameters): Planned | NotPlanned {
  const { earlier, incrementalFeeRateSatsPerKvb: incremental, feeRateSatsPerKvb: wanted } = parameters;
  const last = earlier.at(-1);
  invariant(last !== undefined, 'a replacement replaces something');
  const recipients = recipientsOf(last.transaction);
  for (const { transaction } of earlier) assertSameRecipients(recipientsOf(transaction), recipients);

  const pinned = earlier.flatMap(changeOutpoints).find((outpoint) => parameters.untouchableChange.has(outpoint));
  if (pinned !== undefined) {
    return notPlanned(
      'not-replaceable',
      `Another payment builds on its change ${pinned}; a child can pay for it instead.`,
    );
  }
  const keep = inputsOfAll(earlier);
  const replacedTxids = new Set(earlier.flatMap(txidsOf));
  // An output of what is replaced goes away with it.
  const coins = parameters.coins.filter(({ blockHash, txid }) => blockHash !== null && !replacedTxids.has(txid));
  const replacedFees = max(
    earlier.map(({ transaction, descendantFeesSats }) => BigInt(transaction.feeSats) + descendantFeesSats),
  );
  const higherRate = max(earlier.map(rateThatItPays)) + 1n;
  const rate = max([wanted, higherRate, incremental]);
  const planned = planWithRule(
    {
      ...parameters,
      coins,
      keep,
      recipients,
      change: changeOf(last.transaction) ?? parameters.change,
      feeRateSatsPerKvb: rate,
    },
    feeRule({ fixedSats: 0n, rateSatsPerKvb: rate }, { fixedSats: replacedFees, rateSatsPerKvb: incremental }),
  );
  if (planned.kind === 'refused') return planned;

  const { transaction } = planned;
  assertReplaces(transaction, keep, replacedFees, incremental, higherRate);
  const needed = max([
    feeAtRate(higherRate, transaction.weight),
    replacedFees + feeAtRate(incremental, transaction.weight),
  ]);
  const neededRate = rateOf(needed, transaction.weight, 'up');
  if (parameters.exactRate && feeAtRate(wanted, transaction.weight) < needed) {
    return notPlanned(
      'fee-too-low',
      `A node takes a replacement from ${inWords(neededRate)} on; asked for were ${inWords(wanted)}.`,
    );
  }
  const bound = parameters.maxFeeRateSatsPerKvb;
  if (wanted > bound || needed > feeAtRate(bound, transaction.weight)) {
    const dueRate = max([wanted, neededRate]);
    return notPlanned(
      'fee-above-bound',
      `A replacement must pay ${inWords(dueRate)}; the most that we pay is ${inWords(bound)}.`,
    );
  }
  return { ...planned, transaction: { ...transaction, feeRateSatsPerKvb: max([wanted, neededRate]).toString() } };
}

/** Every input of every candidate, once. */
function inputsOfAll(earlier: readonly EarlierCandidate[]): Coin[] {
  const byOutpoint = new Map(
    earlier.flatMap(({ transaction }) =>
      transaction.inputs.map((input) => [outpointOf(input), coinOfInput(input)] as const),
    ),
  );
  return [...byOutpoint.values()];
}

function recipientsOf({ outputs }: PlannedTransaction): Recipient[] {
  return outputs.flatMap(({ withdrawalId, script, amountSats }) =>
    withdrawalId === null ? [] : [{ withdrawalId, script, amountSats: BigInt(amountSats) }],
  );
}

function assertSameRecipients(some: readonly Recipient[], others: readonly Recipient[]): void {
  const text = (recipients: readonly Recipient[]): string =>
    recipients
      .map(({ withdrawalId, script, amountSats }) => `${withdrawalId} ${script} ${amountSats}`)
      .sort()
      .join();
  invariant(text(some) === text(others), 'all candidates of a payout that may be signed pay the same');
}

/** The script that change went to before: nothing new has to be handed out. */
function changeOf({ outputs }: PlannedTransaction): ChangeScript | undefined {
  const output = outputs.find(isChange);
  if (output?.changeIndex === undefined || output.changeIndex === null) return undefined;
  const { script, changeIndex: index } = output;
  return { script, index, kind: kindOfScript(Buffer.from(script, 'hex')) };
}

function isChange({ changeIndex }: PlannedOutput): boolean {
  return changeIndex !== null;
}

function txidsOf({ transaction, signed }: EarlierCandidate): string[] {
  return [...signed.map(({ txid }) => txid), ...(transaction.txid === null ? [] : [transaction.txid])];
}

function changeOutpoints(candidate: EarlierCandidate): string[] {
  return txidsOf(candidate).flatMap((txid) =>
    candidate.transaction.outputs.flatMap((output, vout) => (isChange(output) ? [outpointOf({ txid, vout })] : [])),
  );
}

/** By the least that any of its signed forms weighs. */
function rateThatItPays({ transaction, signed }: EarlierCandidate): bigint {
  const least = Math.min(transaction.weight, ...signed.map(({ weight }) => weight));
  return rateOf(BigInt(transaction.feeSats), least, 'up');
}

function assertReplaces(
  { inputs, weight, feeSats }: PlannedTransaction,
  keep: readonly Coin[],
  replacedFees: bigint,
  incremental: bigint,
  higherRate: bigint,
): void {
  const spent = new Set(inputs.map(outpointOf));
  invariant(
    keep.every((coin) => spent.has(outpointOf(coin))),
    'a replacement spends every input of what it replaces',
  );
  invariant(
    BigInt(feeSats) >= replacedFees + feeAtRate(incremental, weight),
    'a replacement pays for what it replaces',
  );
  invariant(BigInt(feeSats) >= feeAtRate(higherRate, weight), 'a replacement pays a higher rate');
}

function max(values: readonly bigint[]): bigint {
  return values.reduce((most, value) => (value > most ? value : most), 0n);
}
