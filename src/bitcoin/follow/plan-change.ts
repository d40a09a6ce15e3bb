import { workOf } from '../../domain/work.js';
import { SourceError, type BlockSource } from '../block-source.js';
import type { NetworkName } from '../network.js';
import { checkProofOfWork, parseHeader, powLimitOf } from '../scan/parse-header.js';
import type { BlockHeader } from '../scan-types.js';
import type { BlockPlace, ConnectedChain } from './chain-index.js';

export interface PlanLimits {
  /** Blocks to connect that one plan holds at most, except where a reorg needs more to have more work. */
  windowBlocks: number;
  /** Headers asked for at once. */
  headerBatch: number;
  /** Blocks walked back from the source's tip one by one before its heights are asked for hints. */
  shortWalk: number;
}

export const DEFAULT_PLAN_LIMITS: Readonly<PlanLimits> = {
  // Some hundred bytes each; large enough that planning is a small part of connecting.
  windowBlocks: 2_000,
  // 80 bytes each: one answer of a node stays below 100 KiB also in hex and JSON.
  headerBatch: 500,
  // A usual new block or reorg is found with one to three questions and no hint.
  shortWalk: 4,
};

export type Plan =
  | { kind: 'synced'; sourceTip: BlockPlace }
  /** Its tip is an older block of ours, or it has not reached our start, or its best chain has less work: not a reorg. */
  | { kind: 'source-behind'; sourceTip: BlockPlace; detail: string }
  /** Its best chain has exactly as much work as ours: who came first stays. */
  | { kind: 'tie'; sourceTip: BlockPlace }
  /** Its best chain does not contain the block where this ledger begins. */
  | { kind: 'below-start'; sourceTip: BlockPlace; detail: string }
  | {
      kind: 'change';
      sourceTip: BlockPlace;
      /** The last block that both have. Everything of ours above it is to be disconnected, newest first. */
      forkHeight: number;
      /** Oldest first; together more work than what they replace. More may follow in the next plan. */
      connect: string[];
      /** So many of `connect` have more work than what they replace: fewer would leave the ledger worse than before. */
      connectAtLeast: number;
    };

/**
 * Plans the whole change from our chain to the source's best chain, before anything is written. The source's heights are hints
 * only: what counts is that every header hashes to its name, has its proof of work, and names its parent down to a block of
 * ours. More work wins, not more height (the source's claims of work are not asked for).
 *
 * @throws SourceError `block-missing` where the source does not know what it has named, `block-mismatch` where a header is not
 *   the one that was asked for
 */
export async function planChange(
  chain: ConnectedChain,
  source: BlockSource,
  network: NetworkName,
  limits: PlanLimits = DEFAULT_PLAN_LIMITS,
): Promise<Plan> {
  const sourceTip = await source.tip();
  const { tip } = chain;
  if (sourceTip.hash === tip.hash) return { kind: 'synced', sourceTip };
  if (chain.heightOf(sourceTip.hash) !== undefined) {
    return {
      kind: 'source-behind',
      sourceTip,
      detail: `its tip is our block at height ${chain.heightOf(sourceTip.hash)}`,
    };
  }
  const reader: HeaderReader = { chain, source, network, limits };
  const short = await walkBack(reader, sourceTip);
  if (short) return judge(chain, sourceTip, short);
  if (sourceTip.height < chain.start.height) {
    return {
      kind: 'source-behind',
      sourceTip,
      detail: `it has not reached the start block at height ${chain.start.height}`,
    };
  }
  const forkHeight = await findFork(reader, sourceTip);
  if (forkHeight === undefined) {
    const { hash, height } = chain.start;
    return {
      kind: 'below-start',
      sourceTip,
      detail: `its best chain does not contain the start block ${height}:${hash}`,
    };
  }
  return judge(chain, sourceTip, await walkForward(reader, sourceTip, forkHeight));
}

interface HeaderReader {
  chain: ConnectedChain;
  source: BlockSource;
  network: NetworkName;
  limits: PlanLimits;
}

/** The source's chain above a block that both have, oldest first; perhaps not all of it. */
interface Branch {
  forkHeight: number;
  headers: BlockHeader[];
}

function judge(chain: ConnectedChain, sourceTip: BlockPlace, { forkHeight, headers }: Branch): Plan {
  const ours = chain.workAt(chain.tip.height) - chain.workAt(forkHeight);
  let theirs = 0n;
  let connectAtLeast = 0;
  for (const [index, { bits }] of headers.entries()) {
    theirs += workOf(bits);
    if (connectAtLeast === 0 && theirs > ours) connectAtLeast = index + 1;
  }
  if (theirs === ours) return { kind: 'tie', sourceTip };
  if (theirs < ours) {
    const depth = chain.tip.height - forkHeight;
    return { kind: 'source-behind', sourceTip, detail: `its best chain has less work than our last ${depth} blocks` };
  }
  return { kind: 'change', sourceTip, forkHeight, connect: headers.map(({ hash }) => hash), connectAtLeast };
}

/** Follows `prevHash` from the source's tip for some blocks; undefined where none of them stands on a block of ours. */
async function walkBack(reader: HeaderReader, sourceTip: BlockPlace): Promise<Branch | undefined> {
  const headers: BlockHeader[] = [];
  let hash = sourceTip.hash;
  // At the start's height there is nothing below to find.
  const steps = Math.min(reader.limits.shortWalk, sourceTip.height - reader.chain.start.height);
  for (let i = 0; i < steps; i++) {
    const [header] = await readHeaders(reader, [hash]);
    if (!header) return undefined;
    headers.unshift(header);
    const forkHeight = reader.chain.heightOf(header.prevHash);
    if (forkHeight !== undefined) return { forkHeight, headers };
    hash = header.prevHash;
  }
  return undefined;
}

/** Height of the last block that both have, by the source's hints; undefined where not even the start is on its chain. */
async function findFork({ chain, source, limits }: HeaderReader, sourceTip: BlockPlace): Promise<number | undefined> {
  let top = Math.min(chain.tip.height, sourceTip.height);
  // One question is enough for a chain that only grew; then ever larger steps, for reorgs of any depth.
  for (let count = 1; top >= chain.start.height; count = Math.min(4 * count, limits.headerBatch)) {
    const lowest = Math.max(chain.start.height, top - count + 1);
    const heights = Array.from({ length: top - lowest + 1 }, (_, i) => top - i);
    const hashes = await hashesAt(source, heights);
    const match = heights.find((height, i) => hashes[i] !== undefined && hashes[i] === chain.hashAt(height));
    if (match !== undefined) return match;
    top = lowest - 1;
  }
  return undefined;
}

/** The source's chain above the fork: up to a window, and on until it has more work than ours. */
async function walkForward(reader: HeaderReader, sourceTip: BlockPlace, forkHeight: number): Promise<Branch> {
  const { chain, source, limits } = reader;
  const ours = chain.workAt(chain.tip.height) - chain.workAt(forkHeight);
  const headers: BlockHeader[] = [];
  let work = 0n;
  let prevHash = chain.hashAt(forkHeight);
  while (headers.length < limits.windowBlocks || work <= ours) {
    const from = forkHeight + headers.length + 1;
    const count = Math.min(limits.headerBatch, sourceTip.height - from + 1);
    if (count <= 0) break;
    const heights = Array.from({ length: count }, (_, i) => from + i);
    const hinted = await hashesAt(source, heights);
    const hashes = hinted.filter((hash) => hash !== undefined);
    for (const header of await readHeaders(reader, hashes)) {
      // The source's chain moved between two questions: what is linked is good, the rest is asked for again.
      if (header.prevHash !== prevHash) return { forkHeight, headers };
      headers.push(header);
      work += workOf(header.bits);
      prevHash = header.hash;
    }
    if (hashes.length < count) break;
  }
  return { forkHeight, headers };
}

function hashesAt(source: BlockSource, heights: readonly number[]): Promise<(string | undefined)[]> {
  return source.hashesAt?.(heights) ?? Promise.all(heights.map((height) => source.hashAt(height)));
}

async function readHeaders({ source, network }: HeaderReader, hashes: readonly string[]): Promise<BlockHeader[]> {
  const raw = await source.headers(hashes);
  const powLimit = powLimitOf(network);
  return hashes.map((hash, i) => {
    const bytes = raw[i];
    if (!bytes) throw new SourceError('block-missing', 'The source does not know a block that it has named.', { hash });
    const header = parseHeader(bytes);
    if (header.hash !== hash) {
      throw new SourceError('block-mismatch', 'A header does not hash to the hash that was asked for.', { hash });
    }
    if (!checkProofOfWork(header, powLimit)) {
      throw new SourceError('block-mismatch', 'A header has no proof of work for this network.', { hash });
    }
    return header;
  });
}
