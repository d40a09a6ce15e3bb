import { crypto } from 'bitcoinjs-lib';
import type { PlannedInput, PlannedOutput, PlannedTransaction } from '../../domain/events/payout-events.js';
import { invariant } from '../../platform/assert.js';
import type { Coin } from './coin.js';
import { dustLimitOf, type PlanningParameters } from './plan-parts.js';
import { randomIndex, shuffled, type Random } from './random-order.js';
import { shapeOf, transactionWeight, vbytesOf } from './transaction-weight.js';
import { outpointOf, plannedFee, unsignedTransaction } from './unsigned-transaction.js';

/** Replaceable (BIP125), and the lock time counts. */
const SEQUENCE = 0xffff_fffd;
const VERSION = 2;

/** As in Bitcoin Core (spend.cpp, `DiscourageFeeSniping`): one in ten lock times is up to a hundred blocks lower. */
const LOWER_LOCKTIME_ONE_IN = 10;
const LOWER_LOCKTIME_BLOCKS = 100;

/**
 * The transaction that spends these coins for these outputs, in random order both, with everything that must hold asserted: the
 * fee is what is left, no coin twice, no dust, no heavier than it may be.
 */
export function assembleTransaction(
  coins: readonly Coin[],
  outputs: readonly PlannedOutput[],
  { redeemScriptOf, random, tipHeight, maxWeight, maxInputs }: PlanningParameters,
  feeRateSatsPerKvb: bigint,
): PlannedTransaction {
  const spent = shuffled(coins, random);
  const inputs = spent.map(inputOf);
  const paid = shuffled(outputs, random);
  const shape = shapeOf(
    spent.map(({ kind }) => kind),
    paid.map(({ script }) => script),
  );
  const weight = transactionWeight(shape);
  const unfinished = { version: VERSION, locktime: lockTime(tipHeight, random), inputs, outputs: paid };
  const transaction: PlannedTransaction = {
    ...unfinished,
    feeSats: '0',
    weight,
    feeRateSatsPerKvb: feeRateSatsPerKvb.toString(),
    txid: null,
  };
  const feeSats = plannedFee(transaction);
  invariant(feeSats >= 0n, 'a transaction does not pay more than it spends');
  invariant(new Set(inputs.map(outpointOf)).size === inputs.length, 'no coin is spent twice');
  invariant(inputs.length <= maxInputs && weight <= maxWeight, 'it is as large as it may be, at most');
  for (const { script, amountSats } of paid) {
    invariant(BigInt(amountSats) >= dustLimitOf(script), `an output of ${amountSats} satoshis is dust`);
  }
  return { ...transaction, feeSats: feeSats.toString(), txid: txidOf(transaction, spent, redeemScriptOf) };
}

/** The rate that this fee is for this weight, in satoshis per 1000 vbytes. */
export function rateOf(feeSats: bigint, weight: number, rounded: 'up' | 'down' = 'down'): bigint {
  const vbytes = BigInt(vbytesOf(weight));
  return (feeSats * 1000n + (rounded === 'up' ? vbytes - 1n : 0n)) / vbytes;
}

function inputOf({ txid, vout, amountSats, script, derivation, blockHash }: Coin): PlannedInput {
  return {
    txid,
    vout,
    amountSats: amountSats.toString(),
    script,
    derivation: { branch: derivation.branch, index: derivation.index },
    sequence: SEQUENCE,
    blockHash,
  };
}

/**
 * The height of the tip: a miner who takes the last block off to have its fees cannot take this transaction into the one that is
 * to replace it. Now and then some blocks lower, so that one that was signed late does not stand out.
 */
function lockTime(tipHeight: number | null, random: Random): number {
  if (tipHeight === null) return 0;
  if (randomIndex(random, LOWER_LOCKTIME_ONE_IN) > 0) return tipHeight;
  return Math.max(0, tipHeight - randomIndex(random, LOWER_LOCKTIME_BLOCKS));
}

/** Witnesses do not count for it (BIP141); a scriptSig does, and that of sh(wpkh) is known before it is signed. */
function txidOf(
  planned: PlannedTransaction,
  spent: readonly Coin[],
  redeemScriptOf: (coin: Coin) => string,
): string | null {
  if (spent.some(({ kind }) => kind === 'pkh')) return null;
  const tx = unsignedTransaction(planned);
  spent.forEach((coin, index) => {
    if (coin.kind !== 'sh-wpkh') return;
    const redeemScript = Buffer.from(redeemScriptOf(coin), 'hex');
    const hash = Buffer.from(crypto.hash160(redeemScript)).toString('hex');
    invariant(coin.script === `a914${hash}87`, `the redeem script of ${outpointOf(coin)} is that of its coin`);
    tx.setInputScript(index, Buffer.from([redeemScript.length, ...redeemScript]));
  });
  return tx.getId();
}
