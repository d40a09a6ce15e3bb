import { pushHeight, type ParsedBlock } from './block.js';
import { coinsOf, type BlockChange, type BlockEntry, type ChainState } from './chain-state.js';
import type { Coin } from './coin.js';
import {
  blockSubsidySats,
  COINBASE_MATURITY,
  MAX_BLOCK_SIGOPS_COST,
  MAX_FUTURE_BLOCK_SECONDS,
  MINIMUM_BLOCK_VERSION,
} from './parameters.js';
import { refuse, type ChainRejection } from './rejection.js';
import { isFinal, sequenceLocksReached, type ParsedTransaction } from './transaction.js';
import { verifyInput } from './verify-input.js';

/**
 * The rules that need the parent but not the coins: version, time, height in the coinbase (BIP34), lock times.
 *
 * @param nowSeconds the clock, or undefined to leave out the rule that needs one (blocks of our own file)
 */
export function checkBlockInContext(
  block: ParsedBlock,
  parent: BlockEntry,
  state: ChainState,
  nowSeconds: number | undefined,
): ChainRejection | undefined {
  const height = parent.height + 1;
  const medianTimePast = state.medianTimePast(parent);
  if (block.version < MINIMUM_BLOCK_VERSION) return invalid(block, 'bad-version');
  if (block.time <= medianTimePast) return invalid(block, 'time-too-old');
  if (nowSeconds !== undefined && block.time > nowSeconds + MAX_FUTURE_BLOCK_SECONDS)
    return invalid(block, 'time-too-new');
  const expected = pushHeight(height);
  const coinbaseScript = block.transactions[0]?.tx.ins[0]?.script ?? new Uint8Array();
  if (!expected.equals(coinbaseScript.subarray(0, expected.length))) return invalid(block, 'bad-cb-height');
  const open = block.transactions.find(({ tx }) => !isFinal(tx, height, medianTimePast));
  return open ? invalid(block, `bad-txns-nonfinal, ${open.txid}`) : undefined;
}

function invalid(block: ParsedBlock, why: string): ChainRejection {
  return refuse('block-invalid', `Block ${block.hash} is not valid: ${why}.`);
}

export type SignatureCheck =
  | 'none'
  /** Every input whose script can be verified; the others pass (see `verifyInput`). */
  | 'supported';

/**
 * Works out what connecting `block` on top of the state's tip changes, or why it may not be connected: coins there and
 * unspent, mature, enough, relative lock times, sigops, signatures, subsidy and fees.
 *
 * @param signatures 'none' for transactions that were verified before: our own file and our own mempool
 */
export function planConnect(
  block: ParsedBlock,
  state: ChainState,
  signatures: SignatureCheck,
): BlockChange | ChainRejection {
  const height = state.tip().height + 1;
  const spent = new Map<string, Coin>();
  const created = new Map<string, Coin>();
  let fees = 0n;
  let sigopsCost = 0;
  for (const transaction of block.transactions) {
    if (!transaction.coinbase) {
      const coins = takeCoins(transaction, state, spent, created);
      if (!coins) return invalid(block, `bad-txns-inputs-missingorspent, ${transaction.txid}`);
      const fee = checkSpend(transaction, coins, height, state);
      if (typeof fee !== 'bigint') return invalid(block, `${fee.detail} (${transaction.txid})`);
      if (signatures === 'supported' && firstBadInput(transaction, coins, ['valid', 'unsupported']) !== undefined) {
        return invalid(block, `mandatory-script-verify-flag-failed, ${transaction.txid}`);
      }
      fees += fee;
      sigopsCost += spendSigopsCost(coins);
    }
    sigopsCost += transaction.legacySigopsCost;
    for (const [key, coin] of coinsOf(transaction.txid, transaction.tx.outs, height, transaction.coinbase)) {
      created.set(key, coin);
    }
  }
  if (sigopsCost > MAX_BLOCK_SIGOPS_COST) return invalid(block, 'bad-blk-sigops');
  const paid = block.transactions[0]?.tx.outs.reduce((sum, { value }) => sum + value, 0n) ?? 0n;
  if (paid > blockSubsidySats(height) + fees) return invalid(block, 'bad-cb-amount');
  return { spent, created, txids: block.transactions.map(({ txid }) => txid) };
}

function takeCoins(
  { inputs }: ParsedTransaction,
  state: ChainState,
  spent: Map<string, Coin>,
  created: Map<string, Coin>,
): Coin[] | undefined {
  const coins: Coin[] = [];
  for (const key of inputs) {
    const fresh = created.get(key);
    const coin = fresh ?? (spent.has(key) ? undefined : state.coins.get(key));
    if (!coin) return undefined;
    if (fresh) created.delete(key);
    else spent.set(key, coin);
    coins.push(coin);
  }
  return coins;
}

/**
 * What a transaction must obey to be in a block at `height` on top of the state's tip, its coins being known.
 *
 * @returns its fee in satoshis
 */
export function checkSpend(
  { tx }: ParsedTransaction,
  coins: readonly Coin[],
  height: number,
  state: ChainState,
): bigint | ChainRejection {
  const immature = coins.find((coin) => coin.coinbase && height - coin.height < COINBASE_MATURITY);
  if (immature) {
    return refuse(
      'coinbase-immature',
      `It spends a coinbase of height ${immature.height} at height ${height}, 100 are needed.`,
    );
  }
  const inSats = coins.reduce((sum, { amountSats }) => sum + amountSats, 0n);
  const outSats = tx.outs.reduce((sum, { value }) => sum + value, 0n);
  if (inSats < outSats) return refuse('outputs-exceed-inputs', `It spends ${inSats} satoshis and pays ${outSats}.`);
  const heights = coins.map((coin) => coin.height);
  const medianTimePastAt = (at: number): number => {
    const entry = state.atHeight(at);
    return entry ? state.medianTimePast(entry) : Number.POSITIVE_INFINITY;
  };
  if (!sequenceLocksReached(tx, heights, height, medianTimePastAt)) {
    return refuse('transaction-not-final', 'Its relative lock times (BIP68) are not reached.');
  }
  return inSats - outSats;
}

/** @returns index and verdict of the first input whose verdict is none of `accepted` */
export function firstBadInput(
  { tx }: ParsedTransaction,
  coins: readonly Coin[],
  accepted: readonly ReturnType<typeof verifyInput>[],
): { index: number; verdict: ReturnType<typeof verifyInput> } | undefined {
  for (let index = 0; index < tx.ins.length; index += 1) {
    const verdict = verifyInput(tx, index, coins);
    if (!accepted.includes(verdict)) return { index, verdict };
  }
  return undefined;
}

/** Sigops of the witnesses of key-hash programs, bare or in p2sh: one for each (BIP141). */
export function spendSigopsCost(coins: readonly Coin[]): number {
  return coins.filter(({ script }) => script.length === 22 || script.length === 23).length;
}

/** Checks in context and plans in one step, for a block that builds on the tip. */
export function checkAndPlan(
  block: ParsedBlock,
  state: ChainState,
  options: { nowSeconds: number | undefined; signatures: SignatureCheck },
): BlockChange | ChainRejection {
  const problem = checkBlockInContext(block, state.tip(), state, options.nowSeconds);
  return problem ?? planConnect(block, state, options.signatures);
}
