import type pg from 'pg';
import { BusyError } from '../../platform/errors.js';
import type { CommittedChange } from '../follow/change-writer.js';
import { InvalidBlockError } from '../follow/follower-errors.js';
import { createFollower, type Follower, type FollowerDeps } from '../follow/follower.js';
import { createOutpointSet } from '../scan/outpoint-set.js';
import { scanBlock } from '../scan/scan-block.js';
import { createScriptSet } from '../scan/script-set.js';
import type { BlockHeader, BlockInvalid } from '../scan-types.js';
import { createPushedBlockTable } from './pushed-block-table.js';
import { openPushSource, type PushSource } from './push-source.js';
import type { PushedBlocks, PushOutcome } from './pushed-blocks.js';

/** Blocks that wait for their turn; each may have 4 MB. */
const MAX_WAITING = 64;
const RETRY_AFTER_SECONDS = 1;
/** Kept blocks that turn out not to be valid only when their turn comes, in one submit. */
const MAX_REJECTED = 100;

/**
 * Blocks that come from outside, one by one, and the follower that connects them: the same as for a node, so that side branches,
 * reorgs and crashes are the same too. What is kept is durable before it is connected; a block that was kept and not connected when the
 * process died is connected at the next start.
 *
 * Checked: proof of work within the network's limit, Merkle root, witness commitment, form, weight, and that the parent is known. Not
 * checked, and so taken on the pusher's word: signatures, values, spent outputs of others, the difficulty that the chain demands
 * at that height (on mainnet work is expensive, and the branch with the most of it wins), timestamps, BIP34 heights.
 */
export async function openPushedBlocks(
  options: Omit<FollowerDeps, 'source' | 'onInvalidBlock'> & { pool: pg.Pool; keptDepth?: number },
): Promise<{ follower: Follower; pushedBlocks: PushedBlocks; source: PushSource }> {
  const { network, pool, ledger } = options;
  const source = await openPushSource(createPushedBlockTable(pool, ledger), options.keptDepth);
  const follower = createFollower({
    ...options,
    source,
    onInvalidBlock: ({ hash, invalid }) => source.reject(hash, invalid),
  });
  source.attach(() => follower.chain());

  const nothingWatched = { scripts: createScriptSet(), outpoints: createOutpointSet() };
  let queue: Promise<unknown> = Promise.resolve();
  let waiting = 0;

  async function connect({ hash, prevHash, ...header }: BlockHeader, raw: Uint8Array): Promise<PushOutcome> {
    if (!follower.chain()) await follower.syncNow();
    // Its parent, or itself, may have been pushed to another process.
    if (!source.kept(hash) && !source.parent(prevHash)) await source.refresh();
    const kept = source.kept(hash);
    if (kept?.invalid) return refused(kept.invalid);
    const connectedHeight = follower.chain()?.heightOf(hash);
    const wasKnown = kept !== undefined || connectedHeight !== undefined;
    const before = follower.chain()?.tip.hash;
    const own: Pick<CommittedChange, 'disconnected' | 'connected'> = { disconnected: [], connected: [] };
    let position: bigint | undefined;
    const stopListening = follower.onCommitted((committed) => {
      for (const off of committed.disconnected) {
        // What was connected and taken off again by the same push is neither.
        if (own.connected.at(-1)?.hash === off) own.connected.pop();
        else own.disconnected.push(off);
      }
      own.connected.push(...committed.connected);
      position = committed.position;
    });
    try {
      if (!wasKnown) {
        const parent = source.parent(prevHash);
        if (!parent) return { kind: 'unknown-parent', hash, prevHash };
        if (parent.invalid) {
          return refused({
            ...parent.invalid,
            detail: `it stands on a block that is not valid: ${parent.invalid.detail}`,
          });
        }
        await source.keep({ hash, prevHash, ...header }, raw);
      }
      const invalid = await settle(hash);
      if (invalid) return refused(invalid);
      await source.prune();
    } finally {
      stopListening();
    }
    const isOwn = own.connected.some((block) => block.hash === hash);
    // Kept by us, another process may have been faster to connect it.
    const { connected, disconnected } =
      isOwn || wasKnown || follower.chain()?.heightOf(hash) === undefined
        ? { connected: own.connected.map((block) => block.hash), disconnected: own.disconnected }
        : changeSince(before, hash);
    return {
      kind: 'accepted',
      hash,
      height: source.kept(hash)?.height ?? follower.chain()?.heightOf(hash) ?? connectedHeight ?? 0,
      outcome: connected.includes(hash)
        ? disconnected.length > 0
          ? 'reorganised'
          : 'connected'
        : wasKnown
          ? 'already-known'
          : 'side-branch',
      disconnected,
      connected,
      position: position ?? follower.status().position,
    };
  }

  /** What differs between the chain with this tip and the present one, which holds the block. */
  function changeSince(tip: string | undefined, block: string): { disconnected: string[]; connected: string[] } {
    const chain = follower.chain();
    const disconnected: string[] = [];
    let hash = tip;
    while (hash !== undefined && chain?.heightOf(hash) === undefined) {
      disconnected.push(hash);
      hash = source.kept(hash)?.prevHash;
    }
    const fork = hash === undefined ? undefined : chain?.heightOf(hash);
    const connected: string[] = [];
    for (let height = (fork ?? -1) + 1; fork !== undefined && height <= (chain?.tip.height ?? -1); height += 1) {
      const connectedHash = chain?.hashAt(height);
      if (connectedHash !== undefined) connected.push(connectedHash);
    }
    // Where it stands on is not known here any more.
    if (!connected.includes(block)) connected.push(block);
    return { disconnected, connected };
  }

  /** Follows the kept blocks to the branch with the most work; one that cannot be connected is struck out, and the next tried. */
  async function settle(hash: string): Promise<BlockInvalid | undefined> {
    for (let rejected = 0; ; rejected++) {
      try {
        await follower.syncNow();
        return source.kept(hash)?.invalid;
      } catch (error) {
        if (!(error instanceof InvalidBlockError) || rejected >= MAX_REJECTED) throw error;
      }
    }
  }

  return {
    follower,
    source,
    pushedBlocks: {
      async submit(raw) {
        const scanned = scanBlock(raw, { network, ...nothingWatched });
        if (scanned.kind === 'invalid') return refused(scanned);
        if (waiting >= MAX_WAITING) throw new BusyError(`${waiting} blocks are waiting`, RETRY_AFTER_SECONDS);
        waiting += 1;
        const turn = queue.then(() => connect(scanned.header, raw));
        // The next one has its turn whatever became of this one; its own caller is told.
        queue = turn.catch(() => undefined);
        try {
          return await turn;
        } finally {
          waiting -= 1;
        }
      },
    },
  };
}

function refused({ reason, detail }: BlockInvalid): PushOutcome {
  return { kind: 'invalid', reason, detail };
}
