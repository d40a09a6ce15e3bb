import { MAX_MONEY_SATS } from '../../domain/primitives.js';
import { invariant } from '../../platform/assert.js';
import { FatalError } from '../../platform/errors.js';
import { dustLimitSats } from '../payment/dust.js';
import { scriptOfAddress } from './address-script.js';
import { parseBlock } from './block.js';
import { createCallQueue, nextTurn } from './call-queue.js';
import { parseHexTransaction, readBlockTransactions, type BlockRequest } from './chain-engine.js';
import type { ChainParts } from './chain-parts.js';
import type { ChainState } from './chain-state.js';
import { outpointKey } from './hashing.js';
import { BLOCKS_PER_TURN, MAX_BLOCKS_PER_CALL, MAX_STORED_BLOCKS, MIN_RELAY_SATS_PER_VBYTE } from './limits.js';
import { judgeTransaction, type Acceptance } from './mempool-policy.js';
import { MAX_FUTURE_BLOCK_SECONDS } from './parameters.js';
import type {
  MempoolView,
  MineRequest,
  RegtestChain,
  ReorgRequest,
  SubmittedBlock,
  SubmittedTransaction,
} from './regtest-chain.js';
import { isChainRejection, refuse, type ChainRejection } from './rejection.js';
import { confirmedCoins, unconfirmedCoins } from './spendable-coins.js';

/** The face of an open chain: calls that change it run one after the other, reads see the state between two of them. */
export function createRegtestChain(parts: ChainParts): RegtestChain {
  const { directory, state, mempool, engine, wallet, blockFile, opened } = parts;
  const queue = createCallQueue();
  const listeners = new Set<() => void>();
  let closing: Promise<void> | undefined;

  /** Runs a change in its turn, and wakes listeners when the tip is another one afterwards. */
  function change<T>(call: () => Promise<T> | T): Promise<T> {
    if (closing) return Promise.reject(new FatalError('The built-in chain is closed.', { directory }));
    return queue.run(async () => {
      engine.assertUsable();
      const before = state.tip();
      try {
        return await call();
      } finally {
        if (state.tip() !== before) for (const listener of listeners) queueMicrotask(listener);
      }
    });
  }

  /** What is not on disk is not shown to anybody: after a failed write the state is ahead of the disk. */
  function shown(): ChainState {
    engine.assertUsable();
    return state;
  }

  return {
    directory,
    minerAddress: wallet.rewardAddress,
    opened,
    mempool: viewOf(parts),
    tip() {
      const { hash, height } = shown().tip();
      return { hash, height };
    },
    hashAt: (height) => shown().atHeight(height)?.hash,
    header: (hash) => shown().entry(hash)?.header,
    async block(hash) {
      const place = shown().entry(hash)?.place;
      return place && (await blockFile.read(place));
    },
    blockInfo(hash) {
      const entry = shown().entry(hash);
      if (!entry) return undefined;
      const { prevHash, height, time } = entry;
      return { hash, prevHash, height, time, onBestChain: state.isOnBestChain(entry) };
    },
    coin: (txid, vout) => shown().coins.get(outpointKey(txid, vout)),
    coins: () => shown().coins,
    async findTransaction(txid) {
      const entry = shown().entry(state.blockOf(txid) ?? '');
      const unconfirmed = mempool.get(txid);
      if (unconfirmed) return { raw: unconfirmed.raw, blockHash: undefined };
      if (!entry?.place) return undefined;
      const block = parseBlock(await blockFile.read(entry.place));
      invariant(!isChainRejection(block), 'a block reads as it was written');
      const found = block.transactions.find((transaction) => transaction.txid === txid);
      return found && { raw: found.tx.toBuffer(), blockHash: entry.hash };
    },
    estimateSatsPerVbyte: () => MIN_RELAY_SATS_PER_VBYTE,
    mine: (request) => change(() => mine(parts, request)),
    pay: (request) => change(() => pay(parts, request)),
    reorg: (request) => change(() => reorg(parts, request)),
    submitTransaction: (hex) => change(() => submitTransaction(parts, hex)),
    testTransaction(hex) {
      const judged = judge(parts, hex);
      return 'entry' in judged ? describe(judged) : judged;
    },
    submitBlock: (raw) => change(() => submitBlock(parts, raw)),
    evict: (txid) => change(() => engine.evict(mempool.get(txid) ? [txid] : [])),
    onTipChanged(callback) {
      // Wrapped, so that the same function given twice is called twice and stopped once.
      const listener = (): void => callback();
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    close() {
      closing ??= queue.idle().then(() => parts.close());
      return closing;
    },
  };
}

function viewOf({ mempool }: ChainParts): MempoolView {
  return {
    get size() {
      return mempool.size;
    },
    get bytes() {
      return mempool.bytes;
    },
    list: () => [...mempool.entries()].map(({ txid, feeSats, vsize }) => ({ txid, feeSats, vsize })),
    has: (txid) => mempool.get(txid) !== undefined,
    spenderOf: (txid, vout) => mempool.spenderOf(outpointKey(txid, vout)),
  };
}

async function mine(
  parts: ChainParts,
  { blocks, address, transactions }: MineRequest,
): Promise<{ hashes: string[] } | ChainRejection> {
  const { engine, state, clock } = parts;
  const refused = checkCount(parts, blocks);
  const payoutScript = payoutOf(parts, address);
  if (refused) return refused;
  if ('rejected' in payoutScript) return payoutScript;
  const chosen = transactions && readBlockTransactions(transactions, state);
  if (chosen && isChainRejection(chosen)) return chosen;

  const hashes: string[] = [];
  const request: BlockRequest = { payoutScript, timeOf: clock.timesFor(blocks) };
  while (hashes.length < blocks) {
    if (hashes.length > 0) await nextTurn();
    const count = Math.min(BLOCKS_PER_TURN, blocks - hashes.length);
    const first = hashes.length === 0 && chosen ? { ...request, transactions: chosen } : request;
    hashes.push(...engine.mine(count, first));
  }
  return { hashes };
}

function checkCount({ state, clock }: ChainParts, blocks: number): ChainRejection | undefined {
  if (!Number.isSafeInteger(blocks) || blocks < 1 || blocks > MAX_BLOCKS_PER_CALL) {
    return refuse('block-count-invalid', `One call mines 1 to ${MAX_BLOCKS_PER_CALL} blocks.`);
  }
  if (state.storedBlocks + blocks > MAX_STORED_BLOCKS) {
    return refuse(
      'chain-full',
      `The built-in chain keeps ${MAX_STORED_BLOCKS} blocks; remove its directory to begin a new one.`,
    );
  }
  const latest = clock.latestOf(blocks, state.tip());
  return latest > clock.nowSeconds() + MAX_FUTURE_BLOCK_SECONDS
    ? refuse(
        'clock-too-far-ahead',
        'Six blocks take at least a second of chain time, and the chain would be two hours ahead.',
      )
    : undefined;
}

function payoutOf({ wallet }: ChainParts, address: string | undefined): Uint8Array | ChainRejection {
  return address === undefined ? wallet.rewardScript : scriptOfAddress(address);
}

function reorg(
  parts: ChainParts,
  { depth, blocks, dropTransactions = false, address }: ReorgRequest,
): { disconnected: string[]; connected: string[] } | ChainRejection {
  const { engine, state, clock } = parts;
  if (!Number.isSafeInteger(depth) || depth < 1 || depth > Math.min(state.tip().height, MAX_BLOCKS_PER_CALL)) {
    return refuse(
      'reorg-depth-invalid',
      `A reorg takes off 1 to ${Math.min(state.tip().height, MAX_BLOCKS_PER_CALL)} blocks.`,
    );
  }
  const refused = checkCount(parts, blocks);
  if (refused) return refused;
  if (blocks <= depth) return refuse('reorg-not-longer', `More than ${depth} blocks are needed: most work wins.`);
  const payoutScript = payoutOf(parts, address);
  if ('rejected' in payoutScript) return payoutScript;
  return engine.reorg(depth, blocks, !dropTransactions, { payoutScript, timeOf: clock.timesFor(blocks) });
}

function pay(
  { state, mempool, engine, wallet }: ChainParts,
  { address, amountSats }: { address: string; amountSats: bigint },
): { txid: string } | ChainRejection {
  const script = scriptOfAddress(address);
  if ('rejected' in script) return script;
  if (amountSats <= 0n || amountSats > MAX_MONEY_SATS) {
    return refuse('amount-invalid', 'An amount is at least 1 satoshi and at most 21 million coins.');
  }
  const dust = dustLimitSats(script);
  if (amountSats < dust) return refuse('dust', `The least for this address is ${dust} satoshis.`);
  const confirmed = confirmedCoins(state, mempool);
  let raw = wallet.createPayment(confirmed, script, amountSats);
  if ('rejected' in raw && raw.rejected === 'miner-out-of-funds') {
    const unconfirmed = unconfirmedCoins(state, mempool, (candidate) => wallet.owns(candidate));
    raw = wallet.createPayment([...confirmed, ...unconfirmed], script, amountSats);
  }
  if ('rejected' in raw) return raw;
  const transaction = parseHexTransaction(Buffer.from(raw).toString('hex'));
  if (isChainRejection(transaction)) return transaction;
  const judged = judgeTransaction(transaction, raw, state, mempool, 'miner');
  if (isChainRejection(judged)) return judged;
  engine.addToMempool(judged.entry, judged.replaced);
  return { txid: judged.entry.txid };
}

function judge({ state, mempool }: ChainParts, hex: string): Acceptance | SubmittedTransaction | ChainRejection {
  const transaction = parseHexTransaction(hex);
  if (isChainRejection(transaction)) return transaction;
  const { txid } = transaction;
  const known = mempool.get(txid);
  if (known) return { txid, feeSats: known.feeSats, vsize: known.vsize, alreadyKnown: true, replaced: [] };
  return judgeTransaction(transaction, Buffer.from(hex, 'hex'), state, mempool, 'anyone');
}

function describe({ entry, replaced }: Acceptance): SubmittedTransaction {
  const { txid, feeSats, vsize } = entry;
  return { txid, feeSats, vsize, alreadyKnown: false, replaced: replaced.map((gone) => gone.txid) };
}

function submitTransaction(parts: ChainParts, hex: string): SubmittedTransaction | ChainRejection {
  const judged = judge(parts, hex);
  if (!('entry' in judged)) return judged;
  parts.engine.addToMempool(judged.entry, judged.replaced);
  return describe(judged);
}

function submitBlock({ state, engine, clock }: ChainParts, raw: Uint8Array): SubmittedBlock | ChainRejection {
  // A copy: the caller may use its buffer again, and transactions of the block stay in memory.
  const block = parseBlock(Uint8Array.from(raw));
  if (isChainRejection(block)) return block;
  const known = state.entry(block.hash);
  if (known?.invalid) return refuse('block-invalid', `Block ${block.hash} was found invalid before.`);
  if (known) return { hash: known.hash, height: known.height, outcome: 'already-known' };
  const accepted = engine.submit(block, clock.nowSeconds());
  if (isChainRejection(accepted)) return accepted;
  return { hash: block.hash, height: accepted.entry.height, outcome: accepted.outcome };
}
