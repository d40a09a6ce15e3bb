import { Transaction } from 'bitcoinjs-lib';
import { z } from 'zod';
import { SourceError, type BlockSource } from '../block-source.js';
import { createRpcClient, type RpcClient, type RpcClientOptions } from '../rpc/rpc-client.js';
import { RPC_INVALID_ADDRESS_OR_KEY, RPC_IN_WARMUP, RpcError } from '../rpc/rpc-error.js';
import { judgeAnswer } from './judge-answer.js';
import type { CoinPlace, CoinState, FoundTransaction, NodeAnswer, PaymentNode } from './payment-node.js';
import { createPreviousTransactions } from './previous-transactions.js';
import { readFeeRate, readRelayFees } from './rpc-fees.js';
import { coinCall, isUnspent, readRawTransaction, readSpenders, spendersCall, viewOf } from './rpc-node-view.js';

export interface RpcPaymentNodeOptions extends RpcClientOptions {
  /** Of the source that the ledger follows: it may be another node. */
  blocks: BlockSource['blocks'];
}

/**
 * The highest fee rate that a node is to let pass, in bitcoin per 1000 vbytes: ours are bounded long before. Given always: 0 means
 * "no limit" to Bitcoin Core and "0.1" to btcd, and btcd wants the parameter.
 */
const MAX_FEE_RATE_BITCOIN_PER_KVB = 0.5;

/** Every method that payments call, beyond those that the source of blocks calls, for `rpcwhitelist`. */
export const PAYMENT_METHODS = [
  'estimatesmartfee',
  'estimatefee',
  'getmempoolinfo',
  'getinfo',
  'testmempoolaccept',
  'sendrawtransaction',
  'getrawtransaction',
  'gettxspendingprevout',
  'gettxout',
  'getblockheader',
] as const;

/** Bitcoin Core or btcd as a node to pay through. It needs no wallet, and no index of transactions. */
export function createRpcPaymentNode(options: RpcPaymentNodeOptions): PaymentNode {
  const client = createRpcClient(options);
  const find = (txid: string): Promise<FoundTransaction | undefined> => findTransaction(client, txid);
  return {
    name: 'rpc',
    canSend: true,
    feeRate: (target) => translated(() => readFeeRate(client, target)),
    relayFees: () => translated(() => readRelayFees(client)),
    testAccept: (transaction, coins = []) => ask(client, 'test', transaction, coins),
    broadcast: (transaction, coins = []) => ask(client, 'send', transaction, coins),
    find: (txid) => translated(() => find(txid)),
    coinState: (outpoint) => translated(() => readCoinState(client, outpoint)),
    previousTransactions: createPreviousTransactions({
      blocks: options.blocks,
      find: (txid) => translated(() => find(txid)),
    }),
    close() {
      client.close();
      return Promise.resolve();
    },
  };
}

/** What the node refuses for a reason that has nothing to do with payments (still loading, a method not allowed) is "unavailable". */
async function translated<T>(run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    if (!(error instanceof RpcError)) throw error;
    throw new SourceError('unavailable', error.message, error.facts, { cause: error });
  }
}

async function ask(
  client: RpcClient,
  mode: 'test' | 'send',
  transaction: string,
  coins: readonly CoinPlace[],
): Promise<NodeAnswer> {
  const tx = Transaction.fromHex(transaction);
  try {
    const refusal = await (mode === 'test' ? test(client, tx, transaction) : send(client, tx, transaction));
    if (refusal === undefined) return { kind: 'accepted', detail: 'The node takes it.' };
    return judgeAnswer(mode, refusal, await viewOf(client, tx, coins));
  } catch (error) {
    // No answer says nothing: it may be in the mempool of the whole world by now.
    if (!(error instanceof SourceError || error instanceof RpcError)) throw error;
    return { kind: 'unknown', detail: error.message.slice(0, 500) };
  }
}

/** The words of a refusal; undefined where the node takes it. */
async function send(client: RpcClient, tx: Transaction, transaction: string): Promise<string | undefined> {
  try {
    const answer = await client.call('sendrawtransaction', [transaction, MAX_FEE_RATE_BITCOIN_PER_KVB]);
    return answer === tx.getId() ? undefined : `another txid than ${tx.getId()}`;
  } catch (error) {
    return wordsOf(error);
  }
}

const acceptanceSchema = z.array(
  z.object({
    txid: z.string(),
    // btcd leaves it out where it refuses.
    allowed: z.boolean().optional(),
    'reject-reason': z.string().optional(),
    'reject-details': z.string().optional(),
  }),
);

async function test(client: RpcClient, tx: Transaction, transaction: string): Promise<string | undefined> {
  try {
    const answer = await client.call('testmempoolaccept', [[transaction], MAX_FEE_RATE_BITCOIN_PER_KVB]);
    const parsed = acceptanceSchema.safeParse(answer);
    const [verdict] = parsed.success ? parsed.data : [];
    if (verdict?.txid !== tx.getId()) return 'something about another transaction';
    if (verdict.allowed === true) return undefined;
    const reason = verdict['reject-reason'];
    const details = verdict['reject-details'];
    return [reason, details === reason ? undefined : details].filter((part) => part !== undefined).join(': ');
  } catch (error) {
    return wordsOf(error);
  }
}

function wordsOf(error: unknown): string {
  // A node that is starting has not looked at it.
  if (!(error instanceof RpcError) || error.code === RPC_IN_WARMUP) throw error;
  return `${error.nodeMessage} (${error.code})`;
}

async function findTransaction(client: RpcClient, txid: string): Promise<FoundTransaction | undefined> {
  const [outcome] = await client.batch([{ method: 'getrawtransaction', params: [txid, 1] }]);
  if (outcome instanceof RpcError && outcome.code !== RPC_INVALID_ADDRESS_OR_KEY) throw outcome;
  const found = readRawTransaction(outcome);
  if (!found) return undefined;
  if (txidOf(found.hex) !== txid) {
    throw new SourceError('malformed-answer', 'The node answers with another transaction than the one asked for.', {
      node: client.node,
      txid,
    });
  }
  return { transaction: found.hex, blockHash: found.blockHash };
}

function txidOf(hex: string): string | undefined {
  try {
    return Transaction.fromHex(hex).getId();
  } catch {
    // Not a transaction has no txid.
    return undefined;
  }
}

async function readCoinState(client: RpcClient, outpoint: string): Promise<CoinState> {
  const [spenders, coin] = await client.batch([spendersCall([outpoint]), coinCall(outpoint)]);
  const spentBy = readSpenders(spenders);
  if (spentBy === undefined) {
    if (spenders instanceof RpcError) throw spenders;
    throw new SourceError('malformed-answer', 'The node does not say who spends a coin.', { node: client.node });
  }
  if (coin instanceof RpcError) throw coin;
  const byTxid = spentBy.get(outpoint);
  if (byTxid !== undefined) return { state: 'spent-in-mempool', byTxid };
  return { state: isUnspent(coin) ? 'unspent' : 'missing' };
}
