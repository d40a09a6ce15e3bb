import { invariant } from '../../platform/assert.js';
import type { ParsedBlock } from './block.js';
import type { BlockChange, BlockEntry, ChainState } from './chain-state.js';
import { checkBlockInContext, planConnect, type SignatureCheck } from './connect-block.js';
import { MAX_STORED_BLOCKS } from './limits.js';
import { REGTEST_BLOCK_WORK } from './parameters.js';
import { isChainRejection, refuse, type ChainRejection } from './rejection.js';

export interface AcceptedBlock {
  entry: BlockEntry;
  outcome: 'connected' | 'reorganised' | 'side-branch';
  /** Blocks that are no longer on the best chain, the old tip first. */
  disconnected: BlockEntry[];
  /** Blocks that are now, in the order of the chain. */
  connected: ParsedBlock[];
}

export interface AcceptOptions {
  /** The clock in seconds; undefined for blocks of our own file, which were judged when they came. */
  nowSeconds: number | undefined;
  signatures: SignatureCheck;
  /** Reads a block that was stored before. */
  load: (entry: BlockEntry) => ParsedBlock;
}

/**
 * Puts a block into the state: on top of the tip, as a side branch, or as the block with which a side branch wins. Most
 * work wins; where it is equal, the branch that was seen first stays. After a rejection the state is as it was before.
 */
export function acceptBlock(
  block: ParsedBlock,
  state: ChainState,
  options: AcceptOptions,
): AcceptedBlock | ChainRejection {
  invariant(!state.entry(block.hash), 'the caller has looked whether the block is known');
  const parent = state.entry(block.prevHash);
  if (!parent)
    return refuse('block-unknown-parent', `The parent ${block.prevHash} of block ${block.hash} is not known.`);
  if (parent.invalid) return refuse('block-invalid', `Block ${block.hash} builds on a block that is not valid.`);
  if (state.storedBlocks >= MAX_STORED_BLOCKS) {
    return refuse(
      'chain-full',
      `The built-in chain keeps ${MAX_STORED_BLOCKS} blocks; remove its directory to begin a new one.`,
    );
  }
  const problem = checkBlockInContext(block, parent, state, options.nowSeconds);
  if (problem) return problem;
  if (parent === state.tip()) return extendTip(block, state, options.signatures);
  const entry = state.add(block);
  invariant(entry.work === parent.work + REGTEST_BLOCK_WORK, 'a block adds its work to that of its parent');
  if (entry.work <= state.tip().work) return { entry, outcome: 'side-branch', disconnected: [], connected: [] };
  return switchBranch(block, entry, state, options);
}

function extendTip(block: ParsedBlock, state: ChainState, signatures: SignatureCheck): AcceptedBlock | ChainRejection {
  const change = planConnect(block, state, signatures);
  if (isChainRejection(change)) return change;
  const entry = state.add(block);
  state.connect(entry, change);
  return { entry, outcome: 'connected', disconnected: [], connected: [block] };
}

function switchBranch(
  block: ParsedBlock,
  entry: BlockEntry,
  state: ChainState,
  { signatures, load }: AcceptOptions,
): AcceptedBlock | ChainRejection {
  const branch = branchOf(entry, state);
  const fork = state.entry(branch[0]?.prevHash ?? '');
  invariant(fork, 'a branch begins on the best chain');
  const undone: { entry: BlockEntry; change: BlockChange }[] = [];
  while (state.tip() !== fork) undone.push(state.disconnect());

  const connected: ParsedBlock[] = [];
  for (const [index, next] of branch.entries()) {
    const parsed = next === entry ? block : load(next);
    const change = planConnect(parsed, state, signatures);
    if (isChainRejection(change)) {
      while (state.tip() !== fork) state.disconnect();
      for (const { entry: old, change: oldChange } of undone.reverse()) state.connect(old, oldChange);
      for (const bad of branch.slice(index)) bad.invalid = true;
      state.forget(entry);
      return change;
    }
    state.connect(next, change);
    connected.push(parsed);
  }
  return { entry, outcome: 'reorganised', disconnected: undone.map((step) => step.entry), connected };
}

/** The blocks from the best chain (itself not included) to `entry`, in the order of the chain. */
function branchOf(entry: BlockEntry, state: ChainState): BlockEntry[] {
  const branch: BlockEntry[] = [];
  for (let at: BlockEntry | undefined = entry; at && !state.isOnBestChain(at); at = state.entry(at.prevHash))
    branch.push(at);
  return branch.reverse();
}
