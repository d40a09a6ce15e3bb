import type { Transaction } from 'bitcoinjs-lib';
import { z } from 'zod';
import type { BatchResult, RpcCall, RpcClient } from '../rpc/rpc-client.js';
import { RpcError } from '../rpc/rpc-error.js';
import type { NodeView } from './judge-answer.js';
import type { CoinPlace } from './payment-node.js';

/** Outputs of a transaction that are looked for among the unspent: one that is there proves that it is in the chain. */
const MAX_OUTPUTS_LOOKED_AT = 20;

const rawTransactionSchema = z.object({
  hex: z.string(),
  blockhash: z.string().optional(),
  confirmations: z.number().optional(),
});
const spendersSchema = z.array(z.object({ txid: z.string(), vout: z.number(), spendingtxid: z.string().optional() }));
const headerSchema = z.object({ confirmations: z.number() });

export interface RawTransaction {
  hex: string;
  /** Of the best chain; null while it is in the mempool. */
  blockHash: string | null;
}

type Outcome = BatchResult | RpcError | undefined;

/** The answer to `getrawtransaction txid 1`; undefined where the node does not know it, or knows it from a stale block only. */
export function readRawTransaction(outcome: Outcome): RawTransaction | undefined {
  if (outcome === undefined || outcome instanceof RpcError) return undefined;
  const parsed = rawTransactionSchema.safeParse(outcome.result);
  if (!parsed.success) return undefined;
  const { hex, blockhash, confirmations } = parsed.data;
  if (blockhash === undefined) return { hex, blockHash: null };
  // Bitcoin Core's index still knows transactions of stale blocks, with 0 confirmations.
  return (confirmations ?? 0) >= 1 ? { hex, blockHash: blockhash } : undefined;
}

/** Who spends these outpoints in the mempool, by outpoint; undefined where the node cannot say (Bitcoin Core before version 24). */
export function readSpenders(outcome: Outcome): Map<string, string> | undefined {
  if (outcome === undefined || outcome instanceof RpcError) return undefined;
  const parsed = spendersSchema.safeParse(outcome.result);
  if (!parsed.success) return undefined;
  return new Map(
    parsed.data.flatMap(({ txid, vout, spendingtxid }) =>
      spendingtxid === undefined ? [] : [[`${txid}:${vout}`, spendingtxid] as const],
    ),
  );
}

/** `gettxout txid vout true`: null for what is spent or was never there. */
export function isUnspent(outcome: Outcome): boolean {
  return outcome !== undefined && !(outcome instanceof RpcError) && outcome.result !== null;
}

export function spendersCall(outpoints: readonly string[]): RpcCall {
  const asked = outpoints.map((outpoint) => ({ txid: outpoint.slice(0, 64), vout: Number(outpoint.slice(65)) }));
  return { method: 'gettxspendingprevout', params: [asked] };
}

export function coinCall(outpoint: string): RpcCall {
  return { method: 'gettxout', params: [outpoint.slice(0, 64), Number(outpoint.slice(65)), true] };
}

/**
 * Looks at what the node has of a transaction and its coins, in one request. Methods that a node does not have leave their question
 * open.
 *
 * @throws SourceError where the node does not answer
 */
export async function viewOf(
  client: RpcClient,
  tx: Transaction,
  coins: readonly CoinPlace[],
): Promise<NodeView | undefined> {
  const txid = tx.getId();
  const inputs = tx.ins.map(({ hash, index }) => `${Buffer.from(hash).reverse().toString('hex')}:${index}`);
  const ownOutputs = tx.outs.slice(0, MAX_OUTPUTS_LOOKED_AT).map((_, vout) => `${txid}:${vout}`);
  const blockHashes = [...new Set(coins.flatMap(({ blockHash }) => blockHash ?? []))];
  const [transaction, spenders, ...rest] = await client.batch([
    { method: 'getrawtransaction', params: [txid, 1] },
    spendersCall(inputs),
    ...inputs.map(coinCall),
    // Without the mempool: an output that is there is in a block.
    ...ownOutputs.map((outpoint) => ({ method: 'gettxout', params: [txid, Number(outpoint.slice(65)), false] })),
    ...blockHashes.map((blockHash) => ({ method: 'getblockheader', params: [blockHash, true] })),
  ]);
  const inputOutcomes = rest.slice(0, inputs.length);
  const outputOutcomes = rest.slice(inputs.length, inputs.length + ownOutputs.length);
  const headerOutcomes = rest.slice(inputs.length + ownOutputs.length);

  const found = readRawTransaction(transaction);
  const inChain = typeof found?.blockHash === 'string' || outputOutcomes.some(isUnspent);
  const place = inChain ? 'chain' : found ? 'mempool' : 'nowhere';
  const spentBy = readSpenders(spenders);
  // Without it a coin that the mempool spends looks as one that a block spends.
  if (place === 'nowhere' && spentBy === undefined) return undefined;
  const conflicts = [...new Set(spentBy?.values())].filter((other) => other !== txid);
  const connected = new Set(blockHashes.filter((_, index) => isConnected(headerOutcomes[index])));
  const blockOf = new Map(coins.map(({ outpoint, blockHash }) => [outpoint, blockHash]));
  const gone = inputs.filter((outpoint, index) => !isUnspent(inputOutcomes[index]) && !spentBy?.has(outpoint));
  const isSpent = (outpoint: string): boolean => connected.has(blockOf.get(outpoint) ?? '');
  return {
    place,
    conflicts,
    spentInChain: gone.filter(isSpent),
    missing: gone.filter((outpoint) => !isSpent(outpoint)),
  };
}

/** A stale block has -1 confirmations on Bitcoin Core and is an error on btcd. */
function isConnected(outcome: Outcome): boolean {
  if (outcome === undefined || outcome instanceof RpcError) return false;
  const parsed = headerSchema.safeParse(outcome.result);
  return parsed.success && parsed.data.confirmations >= 1;
}
