import { Transaction } from 'bitcoinjs-lib';
import { createRegtestSource } from '../regtest/regtest-source.js';
import type { RegtestChain, SubmittedTransaction } from '../regtest/regtest-chain.js';
import { isChainRejection, type ChainRejection } from '../regtest/rejection.js';
import { DEFAULT_RELAY_FEES, type FoundTransaction, type NodeAnswer, type PaymentNode } from './payment-node.js';
import { createPreviousTransactions } from './previous-transactions.js';

/** The built-in regtest chain as a node to pay through. */
export function createBuiltinPaymentNode(chain: RegtestChain): PaymentNode {
  const source = createRegtestSource(chain);
  const find = (txid: string): Promise<FoundTransaction | undefined> => findIn(chain, txid);
  return {
    name: 'builtin',
    canSend: true,
    feeRate: (target) => Promise.resolve({ satsPerKvb: chain.estimateSatsPerVbyte() * 1_000n, blocks: target }),
    relayFees: () => Promise.resolve(DEFAULT_RELAY_FEES),
    testAccept: (transaction) => answerOf(chain, transaction, chain.testTransaction(transaction), 'test'),
    async broadcast(transaction) {
      try {
        return await answerOf(chain, transaction, await chain.submitTransaction(transaction), 'send');
      } catch (error) {
        // The disk failed, or the chain is being closed: it may be in the mempool or not.
        return { kind: 'unknown', detail: error instanceof Error ? error.message.slice(0, 500) : 'no answer' };
      }
    },
    find,
    coinState(outpoint) {
      const [txid = '', vout] = outpoint.split(':');
      const byTxid = chain.mempool.spenderOf(txid, Number(vout));
      if (byTxid !== undefined) return Promise.resolve({ state: 'spent-in-mempool', byTxid });
      const isThere = chain.coin(txid, Number(vout)) !== undefined || chain.mempool.has(txid);
      return Promise.resolve({ state: isThere ? 'unspent' : 'missing' });
    },
    previousTransactions: createPreviousTransactions({ blocks: (hashes) => source.blocks(hashes), find }),
    close: () => source.close(),
  };
}

async function findIn(chain: RegtestChain, txid: string): Promise<FoundTransaction | undefined> {
  const found = await chain.findTransaction(txid);
  return found && { transaction: Buffer.from(found.raw).toString('hex'), blockHash: found.blockHash ?? null };
}

async function answerOf(
  chain: RegtestChain,
  transaction: string,
  result: SubmittedTransaction | ChainRejection,
  mode: 'test' | 'send',
): Promise<NodeAnswer> {
  if (!isChainRejection(result)) {
    return result.alreadyKnown
      ? { kind: 'already-known', detail: 'It is in the mempool.' }
      : { kind: 'accepted', detail: `It pays ${result.feeSats} satoshis for ${result.vsize} vbytes.` };
  }
  const { rejected, detail } = result;
  const inputs = inputsOf(transaction);
  const byTxid = inputs
    .map(({ txid, vout }) => chain.mempool.spenderOf(txid, vout))
    .find((spender) => spender !== undefined);
  const by = byTxid === undefined ? {} : { byTxid };
  switch (rejected) {
    case 'already-confirmed':
      return { kind: 'already-in-chain', detail };
    case 'inputs-missing-or-spent':
      // Spent in a block, or the transaction that makes the coin is not there (yet, or any more).
      return { kind: (await isSpentInChain(chain, inputs)) ? 'inputs-spent' : 'unknown', detail, ...by };
    case 'conflict-not-replaceable':
      return { kind: 'inputs-spent', detail, ...by };
    case 'fee-too-low':
    case 'replacement-refused':
      // The same refusal twice: asked for a replacement, it pays too little; of one sent again, a better one has its place.
      return { kind: byTxid !== undefined && mode === 'send' ? 'replaced-by-better' : 'fee-too-low', detail, ...by };
    case 'transaction-malformed':
    case 'transaction-non-standard':
    case 'outputs-exceed-inputs':
    case 'signature-invalid':
    case 'script-not-supported':
    case 'dust':
      return { kind: 'refused', detail };
    default:
      // Not now, and perhaps later: lock time, maturity, a full mempool, a long chain of unconfirmed ones.
      return { kind: 'unknown', detail };
  }
}

interface Outpoint {
  txid: string;
  vout: number;
}

function inputsOf(transaction: string): Outpoint[] {
  try {
    return Transaction.fromHex(transaction).ins.map(({ hash, index }) => {
      return { txid: Buffer.from(hash).reverse().toString('hex'), vout: index };
    });
  } catch {
    // Not a transaction: the chain has said so.
    return [];
  }
}

async function isSpentInChain(chain: RegtestChain, inputs: readonly Outpoint[]): Promise<boolean> {
  for (const { txid, vout } of inputs) {
    if (chain.coin(txid, vout) !== undefined) continue;
    const parent = await chain.findTransaction(txid);
    if (parent?.blockHash !== undefined) return true;
  }
  return false;
}
