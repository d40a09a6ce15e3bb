import { Transaction } from 'bitcoinjs-lib';
import { MAX_MONEY_SATS } from '../../domain/primitives.js';
import { outpointKey, toDisplayHex } from './hashing.js';
import { MAX_BLOCK_WEIGHT } from './parameters.js';
import { refuse, type ChainRejection } from './rejection.js';
import { countLegacySigops } from './sigops.js';

/** A transaction read once, with the facts that everything else asks for. */
export interface ParsedTransaction {
  txid: string;
  tx: Transaction;
  weight: number;
  /** Bytes divided by four with the witness discounted, rounded up (BIP141). */
  vsize: number;
  /** Outpoint keys of the inputs, in order; empty for a coinbase. */
  inputs: string[];
  coinbase: boolean;
  /** Sigops of scriptSigs and outputs, at four each (BIP141); those of witnesses depend on what is spent. */
  legacySigopsCost: number;
}

/** @returns undefined when the bytes are not exactly one transaction in its only serialisation */
export function parseTransaction(raw: Uint8Array): ParsedTransaction | undefined {
  let tx: Transaction;
  try {
    tx = Transaction.fromBuffer(raw);
  } catch {
    // Whatever the parser does not like, the answer is the same: this is not a transaction.
    return undefined;
  }
  return Buffer.compare(tx.toBuffer(), raw) === 0 ? describeTransaction(tx) : undefined;
}

export function describeTransaction(tx: Transaction): ParsedTransaction {
  const coinbase = tx.isCoinbase();
  const weight = tx.weight();
  return {
    txid: tx.getId(),
    tx,
    weight,
    vsize: Math.ceil(weight / 4),
    inputs: coinbase ? [] : tx.ins.map((input) => outpointKey(toDisplayHex(input.hash), input.index)),
    coinbase,
    legacySigopsCost: countLegacySigops(tx) * 4,
  };
}

/** What can be said of a transaction without knowing the chain (Bitcoin Core, `CheckTransaction`). */
export function checkTransactionAlone({ tx, inputs, weight, coinbase }: ParsedTransaction): ChainRejection | undefined {
  if (tx.ins.length === 0 || tx.outs.length === 0)
    return refuse('transaction-malformed', 'It has no input or no output.');
  if (weight > MAX_BLOCK_WEIGHT) return refuse('transaction-malformed', 'It is larger than a block.');
  let total = 0n;
  for (const { value } of tx.outs) {
    total += value;
    if (value < 0n || value > MAX_MONEY_SATS || total > MAX_MONEY_SATS) {
      return refuse('transaction-malformed', 'Its outputs are below zero or more than 21 million coins.');
    }
  }
  if (new Set(inputs).size !== inputs.length) return refuse('transaction-malformed', 'It spends an output twice.');
  if (coinbase) {
    const length = tx.ins[0]?.script.length ?? 0;
    if (length < 2 || length > 100) return refuse('transaction-malformed', 'A coinbase script has 2 to 100 bytes.');
  } else if (tx.ins.some(({ hash, index }) => index === 0xffffffff && hash.every((byte) => byte === 0))) {
    return refuse('transaction-malformed', 'It has the null outpoint of a coinbase among its inputs.');
  }
  return undefined;
}

const LOCKTIME_IS_TIME_FROM = 500_000_000;
const FINAL_SEQUENCE = 0xffffffff;

/** nLockTime, judged for a block at `height` whose predecessor has this median time past (BIP113). */
export function isFinal(tx: Transaction, height: number, medianTimePast: number): boolean {
  if (tx.locktime === 0) return true;
  const reached = tx.locktime < LOCKTIME_IS_TIME_FROM ? height : medianTimePast;
  return tx.locktime < reached || tx.ins.every((input) => input.sequence === FINAL_SEQUENCE);
}

const SEQUENCE_DISABLED = 1 << 31;
const SEQUENCE_IS_TIME = 1 << 22;
const SEQUENCE_MASK = 0xffff;
const SEQUENCE_TIME_SHIFT = 9;

/**
 * Relative lock times of all inputs (BIP68), judged for a block at `height`.
 *
 * @param coinHeights height of each spent coin, in the order of the inputs; a coin that is not in a block yet counts as in this one
 * @param medianTimePastAt median time past of the block at a height of the chain that ends below this block
 */
export function sequenceLocksReached(
  tx: Transaction,
  coinHeights: readonly number[],
  height: number,
  medianTimePastAt: (height: number) => number,
): boolean {
  if (tx.version >>> 0 < 2) return true;
  return tx.ins.every(({ sequence }, index) => {
    if ((sequence & SEQUENCE_DISABLED) !== 0) return true;
    const coinHeight = coinHeights[index] ?? height;
    const amount = sequence & SEQUENCE_MASK;
    if ((sequence & SEQUENCE_IS_TIME) === 0) return coinHeight + amount <= height;
    const since = medianTimePastAt(Math.max(coinHeight - 1, 0));
    return since + amount * 2 ** SEQUENCE_TIME_SHIFT <= medianTimePastAt(height - 1);
  });
}
