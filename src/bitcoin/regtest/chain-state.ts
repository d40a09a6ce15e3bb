import { invariant } from '../../platform/assert.js';
import { HEADER_BYTES, type ParsedBlock } from './block.js';
import { isUnspendable, type Coin } from './coin.js';
import { outpointKey } from './hashing.js';
import { MEDIAN_TIME_SPAN, REGTEST_BLOCK_WORK } from './parameters.js';

/** What is known of every block ever stored, on the best chain or not. */
export interface BlockEntry {
  hash: string;
  prevHash: string;
  height: number;
  /** Work of the chain that ends here. */
  work: bigint;
  /** Seconds since 1970, as the header says. */
  time: number;
  header: Uint8Array;
  /** Where the raw block stands in the block file, once it does. */
  place: { offset: number; length: number } | undefined;
  /** Found invalid when its branch was about to win: its descendants cannot win either. */
  invalid: boolean;
}

/** What connecting a block took away and added, so that it can be undone. */
export interface BlockChange {
  spent: ReadonlyMap<string, Coin>;
  created: ReadonlyMap<string, Coin>;
  txids: readonly string[];
}

export interface ChainState {
  readonly storedBlocks: number;
  readonly coins: ReadonlyMap<string, Coin>;
  tip(): BlockEntry;
  entry(hash: string): BlockEntry | undefined;
  atHeight(height: number): BlockEntry | undefined;
  isOnBestChain(entry: BlockEntry): boolean;
  /** Hash of the block of the best chain that holds this transaction. */
  blockOf(txid: string): string | undefined;
  /** Median of the times of this block and the ten below it: the next block's time must be above it (BIP113). */
  medianTimePast(entry: BlockEntry): number;
  /** Coins whose script was given as `watched` at the start, by outpoint. */
  watchedCoins(): ReadonlyMap<string, Coin>;
  add(block: ParsedBlock): BlockEntry;
  /** Takes a block out of the index that was never written: only the one added last. */
  forget(entry: BlockEntry): void;
  /** Makes `entry` the new tip. The caller has checked the change. */
  connect(entry: BlockEntry, change: BlockChange): void;
  /** Makes the tip's parent the new tip. What comes back is what `connect` would take to undo this. */
  disconnect(): { entry: BlockEntry; change: BlockChange };
}

/**
 * The block index, the best chain and its coins, in memory. No rules live here: those who call `connect` have checked.
 * Undo data is kept for every block of the best chain, so a reorg may be as deep as the chain.
 */
export function createChainState(genesis: ParsedBlock, isWatched: (script: Uint8Array) => boolean): ChainState {
  const entries = new Map<string, BlockEntry>();
  const best: BlockEntry[] = [];
  const coins = new Map<string, Coin>();
  const watched = new Map<string, Coin>();
  const blockOfTransaction = new Map<string, string>();
  const changes = new Map<string, BlockChange>();

  function add(block: ParsedBlock): BlockEntry {
    invariant(!entries.has(block.hash), 'a block is added once');
    const parent = entries.get(block.prevHash);
    invariant(parent !== undefined || entries.size === 0, 'only genesis has no parent');
    const entry: BlockEntry = {
      hash: block.hash,
      prevHash: block.prevHash,
      height: parent ? parent.height + 1 : 0,
      work: (parent?.work ?? 0n) + REGTEST_BLOCK_WORK,
      time: block.time,
      header: Uint8Array.from(block.raw.subarray(0, HEADER_BYTES)),
      place: undefined,
      invalid: false,
    };
    entries.set(entry.hash, entry);
    return entry;
  }

  function putCoin(key: string, coin: Coin): void {
    invariant(!coins.has(key), 'an outpoint is created once');
    coins.set(key, coin);
    if (isWatched(coin.script)) watched.set(key, coin);
  }

  function takeCoin(key: string): void {
    invariant(coins.delete(key), 'only a coin that is there is taken away');
    watched.delete(key);
  }

  function tip(): BlockEntry {
    const entry = best.at(-1);
    invariant(entry, 'genesis is always connected');
    return entry;
  }

  function connect(entry: BlockEntry, change: BlockChange): void {
    invariant(entry.prevHash === tip().hash && !entry.invalid, 'a connected block builds on the tip');
    for (const key of change.spent.keys()) takeCoin(key);
    for (const [key, coin] of change.created) putCoin(key, coin);
    for (const txid of change.txids) blockOfTransaction.set(txid, entry.hash);
    changes.set(entry.hash, change);
    best.push(entry);
  }

  function disconnect(): { entry: BlockEntry; change: BlockChange } {
    invariant(best.length > 1, 'genesis cannot be disconnected');
    const entry = tip();
    const change = changes.get(entry.hash);
    invariant(change, 'a connected block can be undone');
    for (const key of change.created.keys()) takeCoin(key);
    for (const [key, coin] of change.spent) putCoin(key, coin);
    for (const txid of change.txids) blockOfTransaction.delete(txid);
    changes.delete(entry.hash);
    best.pop();
    return { entry, change };
  }

  best.push(add(genesis));
  return {
    get storedBlocks() {
      return entries.size;
    },
    coins,
    tip,
    entry: (hash) => entries.get(hash),
    atHeight: (height) => best[height],
    isOnBestChain: (entry) => best[entry.height] === entry,
    blockOf: (txid) => blockOfTransaction.get(txid),
    medianTimePast: (entry) => medianTimePast(entry, entries),
    watchedCoins: () => watched,
    add,
    forget(entry) {
      invariant(
        entry.place === undefined && best[entry.height] !== entry,
        'only a block that was never written is forgotten',
      );
      entries.delete(entry.hash);
    },
    connect,
    disconnect,
  };
}

function medianTimePast(entry: BlockEntry, entries: ReadonlyMap<string, BlockEntry>): number {
  const times: number[] = [];
  for (let at: BlockEntry | undefined = entry; at && times.length < MEDIAN_TIME_SPAN; at = entries.get(at.prevHash)) {
    times.push(at.time);
  }
  times.sort((a, b) => a - b);
  const median = times[Math.floor(times.length / 2)];
  invariant(median !== undefined, 'a block has a time');
  return median;
}

/**
 * The coins that a transaction makes, by outpoint, without those that nobody can spend. Scripts are copied: a slice would
 * keep the whole block in memory for as long as the coin is unspent.
 */
export function coinsOf(
  txid: string,
  outputs: readonly { script: Uint8Array; value: bigint }[],
  height: number,
  coinbase: boolean,
): [string, Coin][] {
  return outputs.flatMap(({ script, value }, vout): [string, Coin][] =>
    isUnspendable(script)
      ? []
      : [[outpointKey(txid, vout), { amountSats: value, script: Uint8Array.from(script), height, coinbase }]],
  );
}
