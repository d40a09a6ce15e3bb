import { dustLimitSats } from '../payment/dust.js';
import type { ChainState } from './chain-state.js';
import { isUnspendable, type Coin } from './coin.js';
import { checkSpend, firstBadInput, spendSigopsCost } from './connect-block.js';
import {
  MAX_DATA_OUTPUT_BYTES,
  MAX_MEMPOOL_BYTES,
  MAX_REPLACED_TRANSACTIONS,
  MAX_STANDARD_SCRIPT_SIG_BYTES,
  MAX_STANDARD_SIGOPS_COST,
  MAX_STANDARD_TRANSACTION_WEIGHT,
  MAX_STANDARD_VERSION,
  MAX_UNCONFIRMED_CHAIN,
  MIN_RELAY_SATS_PER_VBYTE,
  MIN_TRANSACTION_BYTES,
} from './limits.js';
import type { Mempool, MempoolEntry } from './mempool.js';
import { isChainRejection, refuse, type ChainRejection } from './rejection.js';
import { checkTransactionAlone, isFinal, type ParsedTransaction } from './transaction.js';

export interface Acceptance {
  entry: MempoolEntry;
  /** What it pushes out: the transactions it conflicts with and all that build on them. */
  replaced: MempoolEntry[];
}

/** Whose transaction it is: the miner's own may build on any number of unconfirmed ones. */
export type Submitter = 'anyone' | 'miner';

/**
 * Decides whether a transaction may enter the mempool: the rules of Bitcoin Core's default relay configuration as far as
 * they concern a wallet (fee floor, dust, sizes, replacement by BIP125, length of unconfirmed chains). Output scripts of
 * unusual form are let through; inputs are let through only where `verifyInput` can verify them, so that a mined block is
 * always one that every node accepts.
 */
export function judgeTransaction(
  transaction: ParsedTransaction,
  raw: Uint8Array,
  state: ChainState,
  mempool: Mempool,
  submitter: Submitter,
): Acceptance | ChainRejection {
  const problem =
    checkTransactionAlone(transaction) ??
    (transaction.coinbase ? refuse('transaction-malformed', 'A coinbase is only ever part of a block.') : undefined) ??
    (state.blockOf(transaction.txid) ? refuse('already-confirmed', 'It is in a block already.') : undefined) ??
    checkStandard(transaction);
  if (problem) return problem;

  const replaced = mempool.withDescendants(conflictsOf(transaction, mempool));
  const found = findSpend(transaction, state, mempool);
  if (isChainRejection(found)) return found;
  const { coins, feeSats } = found;

  const floor = BigInt(transaction.vsize) * MIN_RELAY_SATS_PER_VBYTE;
  if (feeSats < floor) return refuse('fee-too-low', `It pays ${feeSats} satoshis, ${floor} is the least for its size.`);
  const sigopsCost = transaction.legacySigopsCost + spendSigopsCost(coins);
  if (sigopsCost > MAX_STANDARD_SIGOPS_COST)
    return refuse('transaction-non-standard', 'It has too many signature operations.');
  const refused =
    checkReplacement(transaction, feeSats, replaced, mempool) ??
    (submitter === 'miner' ? undefined : checkChainLength(transaction, mempool)) ??
    checkRoom(raw, replaced, mempool) ??
    checkSignatures(transaction, coins);
  return refused ?? { entry: { ...transaction, raw, feeSats, sigopsCost }, replaced };
}

/**
 * The entry of a transaction that was accepted or mined before, if it can be in the mempool now, after a reorg or a
 * restart. Its signatures were looked at then, and rules of relay do not apply to what the chain gives back.
 */
export function readmit(
  transaction: ParsedTransaction,
  raw: Uint8Array,
  state: ChainState,
  mempool: Mempool,
): MempoolEntry | undefined {
  if (transaction.coinbase || mempool.get(transaction.txid) || state.blockOf(transaction.txid)) return undefined;
  if (transaction.inputs.some((key) => mempool.spenderOf(key))) return undefined;
  if (mempool.bytes + raw.length > MAX_MEMPOOL_BYTES) return undefined;
  const found = findSpend(transaction, state, mempool);
  if (isChainRejection(found)) return undefined;
  const sigopsCost = transaction.legacySigopsCost + spendSigopsCost(found.coins);
  return { ...transaction, raw, feeSats: found.feeSats, sigopsCost };
}

/** The coins that a transaction would spend in the next block, and its fee; the mempool's own conflicts are not looked at. */
export function findSpend(
  transaction: ParsedTransaction,
  state: ChainState,
  mempool: Mempool,
): { coins: Coin[]; feeSats: bigint } | ChainRejection {
  const tip = state.tip();
  const height = tip.height + 1;
  if (!isFinal(transaction.tx, height, state.medianTimePast(tip))) {
    return refuse('transaction-not-final', `Its lock time is not reached in block ${height}.`);
  }
  const coins: Coin[] = [];
  for (const key of transaction.inputs) {
    const coin = state.coins.get(key) ?? mempool.coin(key, height);
    if (!coin) return refuse('inputs-missing-or-spent', `Its input ${key} does not exist or is spent.`);
    coins.push(coin);
  }
  const feeSats = checkSpend(transaction, coins, height, state);
  return typeof feeSats === 'bigint' ? { coins, feeSats } : feeSats;
}

function conflictsOf({ inputs }: ParsedTransaction, mempool: Mempool): Set<string> {
  return new Set(inputs.flatMap((key) => mempool.spenderOf(key) ?? []));
}

function checkStandard({ tx, weight }: ParsedTransaction): ChainRejection | undefined {
  if (tx.version < 1 || tx.version > MAX_STANDARD_VERSION) return nonStandard(`version ${tx.version}`);
  if (weight > MAX_STANDARD_TRANSACTION_WEIGHT) return nonStandard(`weight ${weight}`);
  if (tx.byteLength(false) < MIN_TRANSACTION_BYTES) return nonStandard('too small');
  if (tx.ins.some(({ script }) => script.length > MAX_STANDARD_SCRIPT_SIG_BYTES))
    return nonStandard('a long scriptSig');
  const data = tx.outs.filter(({ script }) => isUnspendable(script));
  if (data.length > 1 || data.some(({ script }) => script.length > MAX_DATA_OUTPUT_BYTES)) {
    return nonStandard(`more than one OP_RETURN, or one of more than ${MAX_DATA_OUTPUT_BYTES} bytes`);
  }
  const dust = tx.outs.findIndex(({ script, value }) => value < dustLimitSats(script));
  if (dust < 0) return undefined;
  const limit = dustLimitSats(tx.outs[dust]?.script ?? new Uint8Array());
  return refuse(
    'dust',
    `Output ${dust} is worth ${tx.outs[dust]?.value} satoshis, the least for its script is ${limit}.`,
  );
}

function nonStandard(what: string): ChainRejection {
  return refuse('transaction-non-standard', `It would not be relayed: ${what}.`);
}

/** BIP125 rules 1 to 5, with 1 sat/vB as the least that a replacement pays for its own size. */
function checkReplacement(
  transaction: ParsedTransaction,
  feeSats: bigint,
  replaced: readonly MempoolEntry[],
  mempool: Mempool,
): ChainRejection | undefined {
  if (replaced.length === 0) return undefined;
  const direct = [...conflictsOf(transaction, mempool)].flatMap((txid) => mempool.get(txid) ?? []);
  const stubborn = direct.find((entry) => !signalsReplacement(entry, mempool));
  if (stubborn)
    return refuse('conflict-not-replaceable', `${stubborn.txid} spends the same and does not signal BIP125.`);
  if (replaced.length > MAX_REPLACED_TRANSACTIONS) {
    return refuse('replacement-refused', `It would push out ${replaced.length} transactions.`);
  }
  const gone = new Set(replaced.map(({ txid }) => txid));
  const allowed = new Set(direct.flatMap(({ inputs }) => inputs));
  for (const key of transaction.inputs) {
    if (gone.has(key.slice(0, 64))) return refuse('replacement-refused', 'It spends an output of what it replaces.');
    if (mempool.get(key.slice(0, 64)) && !allowed.has(key)) {
      return refuse('replacement-refused', `It adds the unconfirmed input ${key}.`);
    }
  }
  const slow = direct.find((entry) => feeSats * BigInt(entry.vsize) <= entry.feeSats * BigInt(transaction.vsize));
  if (slow) return refuse('replacement-refused', `Its fee rate is not above that of ${slow.txid}.`);
  const needed =
    replaced.reduce((sum, entry) => sum + entry.feeSats, 0n) + BigInt(transaction.vsize) * MIN_RELAY_SATS_PER_VBYTE;
  return feeSats < needed
    ? refuse('replacement-refused', `It pays ${feeSats} satoshis, ${needed} are needed to replace ${replaced.length}.`)
    : undefined;
}

/** The highest sequence that says "may be replaced" (BIP125). */
const MAX_REPLACEABLE_SEQUENCE = 0xfffffffd;

/** A transaction is replaceable when it says so, or when one that it builds on does. */
function signalsReplacement(entry: MempoolEntry, mempool: Mempool): boolean {
  const signals = ({ tx }: ParsedTransaction) => tx.ins.some(({ sequence }) => sequence <= MAX_REPLACEABLE_SEQUENCE);
  if (signals(entry)) return true;
  return [...mempool.ancestors(entry)].some((txid) => {
    const ancestor = mempool.get(txid);
    return ancestor !== undefined && signals(ancestor);
  });
}

function checkChainLength(transaction: ParsedTransaction, mempool: Mempool): ChainRejection | undefined {
  const length = mempool.ancestors(transaction).size + 1;
  return length > MAX_UNCONFIRMED_CHAIN
    ? refuse('unconfirmed-chain-too-long', `It builds on ${length - 1} unconfirmed transactions; mine a block first.`)
    : undefined;
}

function checkRoom(raw: Uint8Array, replaced: readonly MempoolEntry[], mempool: Mempool): ChainRejection | undefined {
  const freed = replaced.reduce((sum, entry) => sum + entry.raw.length, 0);
  return mempool.bytes - freed + raw.length > MAX_MEMPOOL_BYTES
    ? refuse('mempool-full', `The mempool holds ${mempool.bytes} bytes; mine a block first.`)
    : undefined;
}

function checkSignatures(transaction: ParsedTransaction, coins: readonly Coin[]): ChainRejection | undefined {
  const bad = firstBadInput(transaction, coins, ['valid']);
  if (!bad) return undefined;
  return bad.verdict === 'invalid'
    ? refuse('signature-invalid', `The signature of input ${bad.index} is not valid.`)
    : refuse('script-not-supported', `The built-in chain cannot verify the script that input ${bad.index} spends.`);
}
