import { workOf } from '../../domain/work.js';
import { invariant } from '../../platform/assert.js';
import { SourceError, type BlockSource } from '../block-source.js';
import type { ConnectedChain } from '../follow/chain-index.js';
import type { BlockHeader, BlockInvalid } from '../scan-types.js';
import type { KeptBlock, PushedBlockTable } from './pushed-block-table.js';

/**
 * Raw blocks are kept down to this depth below the tip: two weeks. To go back further, the blocks are pushed again. Below it, side
 * branches are forgotten that twice as many pushes did not extend.
 */
export const KEPT_DEPTH = 2_016;
/** Looking for what can go costs a walk over everything that is kept. */
const PUSHES_BETWEEN_PRUNES = 64;
/** Numbers are given before a row can be seen: as many behind the highest as processes may be keeping blocks at once. */
const UNSEEN_SEQS = 64n;

export interface PushSource extends BlockSource {
  /** Where the connected chain is looked up: the follower's. Before the first use. */
  attach(chain: () => ConnectedChain | undefined): void;
  kept(hash: string): KeptBlock | undefined;
  /** Takes in what other processes have kept meanwhile. */
  refresh(): Promise<void>;
  /** Height and work of a block that another may stand on; undefined where it is neither kept nor connected. */
  parent(hash: string): { height: number; chainWork: bigint; invalid: BlockInvalid | undefined } | undefined;
  /** Keeps a valid block whose parent is known. */
  keep(header: BlockHeader, raw: Uint8Array, invalid?: BlockInvalid): Promise<KeptBlock>;
  /** It can never be connected, and nothing that stands on it. */
  reject(hash: string, invalid: BlockInvalid): Promise<void>;
  /** Forgets what is deep enough, now and then. */
  prune(): Promise<void>;
}

/**
 * The pushed blocks as a source to follow: its best chain is the one with the most work, the first of equals. Any number of processes may
 * take blocks for a ledger: each sees what the others have kept.
 */
export async function openPushSource(table: PushedBlockTable, keptDepth = KEPT_DEPTH): Promise<PushSource> {
  /** In the order they came. */
  const blocks = new Map<string, KeptBlock>();
  const wakers = new Set<() => void>();
  let chainOf: () => ConnectedChain | undefined = () => undefined;
  let best: KeptBlock | undefined;
  let path: { best: KeptBlock; tip: string; lowest: number; hashes: Map<number, string> } | undefined;
  let pushesSincePrune = 0;
  let lastSeq = 0n;

  const chain = (): ConnectedChain => {
    const connected = chainOf();
    invariant(connected, 'the chain is open');
    return connected;
  };
  const consider = (block: KeptBlock): void => {
    if (!block.invalid && (best === undefined || block.chainWork > best.chainWork)) best = block;
  };
  const chooseBest = (): void => {
    best = undefined;
    for (const block of blocks.values()) consider(block);
  };
  const parentOf: PushSource['parent'] = (hash) => {
    const kept = blocks.get(hash);
    if (kept) return kept;
    const height = chain().heightOf(hash);
    return height === undefined ? undefined : { height, chainWork: chain().workAt(height), invalid: undefined };
  };
  const isConnected = ({ hash }: KeptBlock): boolean => chain().heightOf(hash) !== undefined;
  const refresh = async (): Promise<void> => {
    for (const block of await table.load(lastSeq - UNSEEN_SEQS)) {
      if (block.seq !== undefined && block.seq > lastSeq) lastSeq = block.seq;
      if (blocks.has(block.hash) || (chainOf() !== undefined && parentOf(block.prevHash) === undefined)) continue;
      blocks.set(block.hash, block);
      consider(block);
    }
  };
  /** Another process has forgotten it, and what stands on it: it may be pushed again. */
  const forget = (hash: string): void => {
    const gone = new Set([hash]);
    for (const block of blocks.values()) if (gone.has(block.prevHash)) gone.add(block.hash);
    for (const each of gone) blocks.delete(each);
    path = undefined;
    chooseBest();
  };
  await refresh();
  /** The best one, where a walk down from it ends at what is connected; what does not is forgotten. */
  const rootBest = (): void => {
    while (best !== undefined) {
      let lowest = best;
      for (
        let parent = blocks.get(lowest.prevHash);
        parent && !isConnected(lowest);
        parent = blocks.get(lowest.prevHash)
      ) {
        lowest = parent;
      }
      if (isConnected(lowest) || chain().heightOf(lowest.prevHash) !== undefined) return;
      forget(lowest.hash);
    }
  };

  const tip = (): { hash: string; height: number } => {
    const connected = chain();
    const isBetter = best !== undefined && best.chainWork > connected.workAt(connected.tip.height);
    return isBetter && best ? { hash: best.hash, height: best.height } : connected.tip;
  };
  /** Blocks of the best chain above what is connected, by height. */
  const bestPath = (): { lowest: number; hashes: Map<number, string> } => {
    const connected = chain();
    if (!best || tip().hash !== best.hash) return { lowest: Infinity, hashes: new Map() };
    if (path?.best === best && path.tip === connected.tip.hash) return path;
    const hashes = new Map<number, string>();
    let block: KeptBlock | undefined = best;
    while (block && connected.heightOf(block.hash) === undefined) {
      hashes.set(block.height, block.hash);
      block = blocks.get(block.prevHash);
    }
    path = { best, tip: connected.tip.hash, lowest: best.height - hashes.size + 1, hashes };
    return path;
  };

  return {
    name: 'push',
    attach: (connected) => void (chainOf = connected),
    check: () => Promise.resolve(),
    async tip() {
      await refresh();
      rootBest();
      return tip();
    },
    hashAt(height) {
      const { lowest, hashes } = bestPath();
      return Promise.resolve(height >= lowest ? hashes.get(height) : chain().hashAt(height));
    },
    headers: (hashes) => Promise.resolve(hashes.map((hash) => blocks.get(hash)?.header)),
    async blocks(hashes) {
      const raws = await table.raw(hashes);
      return hashes.map((hash, i) => {
        const raw = raws[i];
        if (raw) return raw;
        forget(hash);
        throw new SourceError('block-missing', 'A pushed block is no longer kept: push it again.', { hash });
      });
    },
    onWake(callback) {
      wakers.add(callback);
      return () => wakers.delete(callback);
    },
    close: () => Promise.resolve(),

    kept: (hash) => blocks.get(hash),
    refresh,
    parent: parentOf,
    async keep({ hash, prevHash, bits }, raw, invalid) {
      const parent = parentOf(prevHash);
      invariant(parent, `the parent of block ${hash} is known`);
      const chainWork = parent.chainWork + workOf(bits);
      // A copy: a view would keep the whole raw block in memory.
      const header = Uint8Array.from(raw.subarray(0, 80));
      const block: KeptBlock = {
        seq: undefined,
        hash,
        prevHash,
        height: parent.height + 1,
        chainWork,
        header,
        invalid,
      };
      await table.insert(block, raw);
      blocks.set(hash, block);
      pushesSincePrune += 1;
      consider(block);
      for (const wake of wakers) wake();
      return block;
    },
    async reject(hash, invalid) {
      const isDead = new Set([hash]);
      // Parents come before their children.
      for (const block of blocks.values()) if (isDead.has(block.prevHash)) isDead.add(block.hash);
      for (const dead of isDead) {
        const block = blocks.get(dead);
        if (!block || block.invalid) continue;
        await table.markInvalid(dead, invalid);
        block.invalid = invalid;
      }
      path = undefined;
      chooseBest();
    },
    async prune() {
      if (pushesSincePrune < PUSHES_BETWEEN_PRUNES) return;
      pushesSincePrune = 0;
      const connected = chain();
      const deepest = connected.tip.height - keptDepth;
      const all = [...blocks.values()];
      const alive = new Set<string>();
      for (const [index, leaf] of all.entries()) {
        if (leaf.height < deepest && (isConnected(leaf) || index < all.length - 2 * keptDepth)) continue;
        // A branch stays whole as long as its end does: it may still win, at any depth.
        let block: KeptBlock | undefined = leaf;
        while (block && !alive.has(block.hash) && (block === leaf || !isConnected(block))) {
          alive.add(block.hash);
          block = blocks.get(block.prevHash);
        }
      }
      const dead = all.filter(({ hash }) => !alive.has(hash)).map(({ hash }) => hash);
      if (dead.length === 0) return;
      await table.delete(dead);
      for (const hash of dead) blocks.delete(hash);
    },
  };
}
