import { invariant, InvariantError } from '../../platform/assert.js';
import { FatalError } from '../../platform/errors.js';
import { acceptBlock, type AcceptedBlock } from './accept-block.js';
import { parseBlock, type ParsedBlock } from './block.js';
import type { BlockFile, Place } from './block-file.js';
import { mineBlock, selectTransactions } from './block-template.js';
import type { BlockEntry, ChainState } from './chain-state.js';
import { firstBadInput } from './connect-block.js';
import type { Mempool, MempoolEntry } from './mempool.js';
import { createMempool } from './mempool.js';
import type { MempoolLog } from './mempool-log.js';
import { findSpend, readmit } from './mempool-policy.js';
import { isChainRejection, refuse, type ChainRejection } from './rejection.js';
import { checkTransactionAlone, parseTransaction, type ParsedTransaction } from './transaction.js';

export interface EngineParts {
  state: ChainState;
  mempool: Mempool;
  blockFile: BlockFile;
  mempoolLog: MempoolLog;
  assertLocked: () => void;
}

export interface BlockRequest {
  payoutScript: Uint8Array;
  /** The block's time, given its height and the least that its parent allows. */
  timeOf: (height: number, least: number) => number;
  /** Instead of the mempool. */
  transactions?: readonly MempoolEntry[];
}

/**
 * What changes the chain, in steps that nothing can come between: the state is changed, then the blocks are written and
 * forced to disk, and only then does anybody else run. If they cannot be written the state is ahead of the disk, and the
 * engine refuses everything from then on: opening the chain again gives what is on disk.
 */
export interface Engine {
  assertUsable(): void;
  /** Puts a block of the file back into the state. */
  replay(block: ParsedBlock, place: Place): void;
  /** Fills the mempool from its log. */
  reloadMempool(): void;
  mine(count: number, request: BlockRequest): string[];
  reorg(
    depth: number,
    count: number,
    keepTransactions: boolean,
    request: BlockRequest,
  ): { disconnected: string[]; connected: string[] };
  submit(block: ParsedBlock, nowSeconds: number): AcceptedBlock | ChainRejection;
  addToMempool(entry: MempoolEntry, replaced: readonly MempoolEntry[]): void;
  evict(txids: Iterable<string>): string[];
  load(entry: BlockEntry): ParsedBlock;
}

interface RawTransaction {
  transaction: ParsedTransaction;
  raw: Uint8Array;
}

export function createEngine({ state, mempool, blockFile, mempoolLog, assertLocked }: EngineParts): Engine {
  let broken: unknown;

  function assertUsable(): void {
    if (broken !== undefined)
      throw new FatalError('The built-in chain could not be written to disk.', {}, { cause: broken });
  }

  /** Runs a step that changes the state; if it fails halfway the state is not to be trusted any more. */
  function step<T>(change: () => T): T {
    assertUsable();
    assertLocked();
    try {
      return change();
    } catch (error) {
      broken = error;
      throw error;
    }
  }

  function load(entry: BlockEntry): ParsedBlock {
    invariant(entry.place, 'a block that is loaded has been written');
    const block = parseBlock(blockFile.readNow(entry.place));
    invariant(!isChainRejection(block) && block.hash === entry.hash, 'a block reads as it was written');
    return block;
  }

  function write(blocks: readonly ParsedBlock[]): void {
    const places = blockFile.append(blocks.map(({ raw }) => raw));
    for (const [index, { hash }] of blocks.entries()) {
      const entry = state.entry(hash);
      invariant(entry, 'a written block is in the state');
      entry.place = places[index];
    }
  }

  /** Takes out of the mempool what a connected block confirms or makes impossible. */
  function settleMempool(block: ParsedBlock): string[] {
    const removed: string[] = [];
    for (const { txid, inputs } of block.transactions) {
      const conflicts = inputs.flatMap((key) => mempool.spenderOf(key) ?? []).filter((spender) => spender !== txid);
      const gone = conflicts.length === 0 ? [] : mempool.withDescendants(conflicts).map((entry) => entry.txid);
      if (mempool.get(txid)) gone.push(txid);
      for (const id of gone) mempool.remove(id);
      removed.push(...gone);
    }
    return removed;
  }

  function mineNext({ payoutScript, timeOf, transactions }: BlockRequest): ParsedBlock {
    const parent = state.tip();
    const height = parent.height + 1;
    const raw = mineBlock({
      parentHash: parent.hash,
      height,
      time: timeOf(height, Math.max(parent.time, state.medianTimePast(parent) + 1)),
      extraNonce: state.storedBlocks,
      payoutScript,
      transactions: transactions ?? selectTransactions(mempool.entries()),
    });
    const block = parseBlock(raw);
    invariant(!isChainRejection(block), 'a block that was just made is one');
    // Signatures were verified on the way into the mempool. All other rules are checked again.
    const accepted = acceptBlock(block, state, { nowSeconds: undefined, signatures: 'none', load });
    if (isChainRejection(accepted)) throw new InvariantError(`a block that was just made is valid: ${accepted.detail}`);
    invariant(accepted.outcome === 'connected', 'a block that was just made is the tip');
    return block;
  }

  function log(added: readonly Uint8Array[], removed: readonly string[]): void {
    mempoolLog.write({ added, removed });
    if (mempoolLog.isWasteful(mempool.bytes)) mempoolLog.rewrite(rawMempool());
  }

  const rawMempool = (): Uint8Array[] => [...mempool.entries()].map(({ raw }) => raw);

  /** Fills the mempool anew: first what lost its block, older, then what it held; each only if it is still possible. */
  function refillMempool(lost: readonly RawTransaction[]): void {
    const before = [...mempool.entries()].map((entry): RawTransaction => ({ transaction: entry, raw: entry.raw }));
    mempool.clear();
    // A log that a crash cut short may have children before their parents: what fails is tried again while others get in.
    for (let pending = [...lost, ...before], left = Number.POSITIVE_INFINITY; pending.length < left;) {
      left = pending.length;
      pending = pending.filter(({ transaction, raw }) => {
        const entry = readmit(transaction, raw, state, mempool);
        if (entry) mempool.add(entry);
        return !entry;
      });
    }
  }

  /** The transactions of these blocks, coinbases left out, in the order of the chain. */
  function transactionsOf(disconnected: readonly BlockEntry[]): RawTransaction[] {
    return disconnected
      .toReversed()
      .flatMap((entry) => load(entry).transactions.slice(1))
      .map((transaction) => ({ transaction, raw: transaction.tx.toBuffer() }));
  }

  return {
    assertUsable,
    load,

    replay(block, place) {
      // The file holds each block once; genesis is in the state from the start.
      const known = state.entry(block.hash);
      if (known) {
        known.place = place;
        return;
      }
      const accepted = acceptBlock(block, state, { nowSeconds: undefined, signatures: 'none', load });
      if (isChainRejection(accepted)) {
        throw new FatalError(`The block file holds a block that does not fit: ${accepted.detail}`, {
          offset: place.offset,
        });
      }
      accepted.entry.place = place;
    },

    reloadMempool() {
      refillMempool(mempoolLog.loaded.map((transaction) => ({ transaction, raw: transaction.raw })));
      // Most often nothing has changed, and opening a chain then costs no write at all.
      if (mempool.size !== mempoolLog.loaded.length || mempoolLog.isWasteful(mempool.bytes))
        mempoolLog.rewrite(rawMempool());
    },

    mine(count, request) {
      return step(() => {
        const blocks: ParsedBlock[] = [];
        const removed: string[] = [];
        for (let index = 0; index < count; index += 1) {
          const { transactions, ...rest } = request;
          const block = mineNext(index === 0 && transactions ? { ...rest, transactions } : rest);
          blocks.push(block);
          removed.push(...settleMempool(block));
        }
        write(blocks);
        log([], removed);
        return blocks.map(({ hash }) => hash);
      });
    },

    reorg(depth, count, keepTransactions, request) {
      return step(() => {
        const disconnected: BlockEntry[] = [];
        for (let index = 0; index < depth; index += 1) disconnected.push(state.disconnect().entry);
        const lost = keepTransactions ? transactionsOf(disconnected) : [];
        // In the log before the blocks are written, so that a crash in between forgets none of them.
        mempoolLog.write({ added: lost.map(({ raw }) => raw), removed: [] });
        refillMempool(lost);
        const blocks: ParsedBlock[] = [];
        for (let index = 0; index < count; index += 1) {
          const block = mineNext(request);
          blocks.push(block);
          settleMempool(block);
        }
        write(blocks);
        mempoolLog.rewrite(rawMempool());
        return { disconnected: disconnected.map(({ hash }) => hash), connected: blocks.map(({ hash }) => hash) };
      });
    },

    submit(block, nowSeconds) {
      return step(() => {
        const accepted = acceptBlock(block, state, { nowSeconds, signatures: 'supported', load });
        if (isChainRejection(accepted)) return accepted;
        if (accepted.outcome === 'reorganised') {
          const lost = transactionsOf(accepted.disconnected);
          mempoolLog.write({ added: lost.map(({ raw }) => raw), removed: [] });
          refillMempool(lost);
          write([block]);
          mempoolLog.rewrite(rawMempool());
        } else {
          const removed = accepted.connected.flatMap(settleMempool);
          write([block]);
          log([], removed);
        }
        return accepted;
      });
    },

    addToMempool(entry, replaced) {
      step(() => {
        for (const { txid } of replaced) mempool.remove(txid);
        mempool.add(entry);
        log(
          [entry.raw],
          replaced.map(({ txid }) => txid),
        );
      });
    },

    evict(txids) {
      return step(() => {
        const gone = mempool.withDescendants(txids).map(({ txid }) => txid);
        for (const txid of gone) mempool.remove(txid);
        log([], gone);
        return gone;
      });
    },
  };
}

/**
 * Reads transactions that a block is asked to hold instead of the mempool's. They need not be in the mempool, nor be
 * what it would take; they must be valid, in an order in which parents come first, and fit into one block.
 */
export function readBlockTransactions(hexes: readonly string[], state: ChainState): MempoolEntry[] | ChainRejection {
  const chosen = createMempool();
  for (const hex of hexes) {
    const transaction = parseHexTransaction(hex);
    if (isChainRejection(transaction)) return transaction;
    const problem = checkTransactionAlone(transaction);
    if (problem) return problem;
    const found = findSpend(transaction, state, chosen);
    if (isChainRejection(found)) return found;
    const bad = firstBadInput(transaction, found.coins, ['valid']);
    if (bad) {
      const code = bad.verdict === 'invalid' ? 'signature-invalid' : 'script-not-supported';
      return refuse(code, `Input ${bad.index} of ${transaction.txid} cannot be shown to be valid.`);
    }
    const entry = readmit(transaction, transaction.tx.toBuffer(), state, chosen);
    if (!entry)
      return refuse('inputs-missing-or-spent', `Transaction ${transaction.txid} cannot be in a block with the others.`);
    chosen.add(entry);
  }
  const selected = selectTransactions(chosen.entries());
  return selected.length === hexes.length
    ? selected
    : refuse('block-invalid', 'The transactions do not fit into one block.');
}

/** A transaction as the outside gives it. */
export function parseHexTransaction(hex: string): ParsedTransaction | ChainRejection {
  const isHex = hex.length % 2 === 0 && /^[0-9a-fA-F]+$/.test(hex);
  const transaction = isHex ? parseTransaction(Buffer.from(hex, 'hex')) : undefined;
  return transaction ?? refuse('transaction-malformed', 'These are not the bytes of a transaction.');
}
