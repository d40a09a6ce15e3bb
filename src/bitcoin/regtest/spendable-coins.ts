import type { ChainState } from './chain-state.js';
import type { Coin } from './coin.js';
import { outpointKey } from './hashing.js';
import type { Mempool } from './mempool.js';
import type { SpendableCoin } from './miner-wallet.js';
import { COINBASE_MATURITY } from './parameters.js';

/** The miner's coins in blocks that the next block may spend and the mempool does not. */
export function confirmedCoins(state: ChainState, mempool: Mempool): SpendableCoin[] {
  const height = state.tip().height + 1;
  const spendable: SpendableCoin[] = [];
  for (const [key, coin] of state.watchedCoins()) {
    const isMature = !coin.coinbase || height - coin.height >= COINBASE_MATURITY;
    if (isMature && !mempool.spenderOf(key)) spendable.push(spendableCoin(key, coin));
  }
  return spendable;
}

/** The miner's change in the mempool that nothing there spends. */
export function unconfirmedCoins(
  state: ChainState,
  mempool: Mempool,
  owns: (script: Uint8Array) => boolean,
): SpendableCoin[] {
  const height = state.tip().height + 1;
  const spendable: SpendableCoin[] = [];
  for (const { txid, tx } of mempool.entries()) {
    for (const [vout, { script, value }] of tx.outs.entries()) {
      const key = outpointKey(txid, vout);
      if (!owns(script) || mempool.spenderOf(key)) continue;
      spendable.push(spendableCoin(key, { amountSats: value, script, height, coinbase: false }));
    }
  }
  return spendable;
}

function spendableCoin(key: string, coin: Coin): SpendableCoin {
  return { txid: key.slice(0, 64), vout: Number(key.slice(65)), coin };
}
