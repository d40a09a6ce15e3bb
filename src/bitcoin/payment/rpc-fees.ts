import { z } from 'zod';
import type { RpcClient } from '../rpc/rpc-client.js';
import { RPC_IN_WARMUP, RpcError } from '../rpc/rpc-error.js';
import { satsPerKvbOf } from './fee-amount.js';
import { DEFAULT_RELAY_FEES, type FeeEstimate, type RelayFees } from './payment-node.js';

/** What the estimators answer to: Bitcoin Core's up to a week, btcd's up to 25 blocks. */
const MAX_TARGET = 1_008;
const MAX_BTCD_TARGET = 25;

const estimateSchema = z.object({ feerate: z.number().optional(), blocks: z.number().int().min(1).optional() });
const mempoolSchema = z.object({
  mempoolminfee: z.number().optional(),
  minrelaytxfee: z.number().optional(),
  incrementalrelayfee: z.number().optional(),
});
const infoSchema = z.object({ relayfee: z.number().optional() });

/**
 * `estimatesmartfee` of Bitcoin Core, or `estimatefee` of btcd. Undefined where the node has seen too little to say: 0, -1 or no
 * rate at all.
 *
 * @throws SourceError where the node does not answer, RpcError while it is starting
 */
export async function readFeeRate(client: RpcClient, target: number): Promise<FeeEstimate | undefined> {
  const wanted = Math.min(Math.max(target, 1), MAX_TARGET);
  const smart = await resultOf(client, 'estimatesmartfee', [wanted]);
  if (smart !== undefined) {
    const parsed = estimateSchema.safeParse(smart);
    return parsed.success ? estimateOf(parsed.data.feerate, parsed.data.blocks ?? wanted) : undefined;
  }
  const blocks = Math.min(wanted, MAX_BTCD_TARGET);
  return estimateOf(await resultOf(client, 'estimatefee', [blocks]), blocks);
}

function estimateOf(rate: unknown, blocks: number): FeeEstimate | undefined {
  const satsPerKvb = satsPerKvbOf(rate);
  return satsPerKvb === undefined || satsPerKvb === 0n ? undefined : { satsPerKvb, blocks };
}

/** From `getmempoolinfo` of Bitcoin Core, or `getinfo` of btcd; what neither says has its default. */
export async function readRelayFees(client: RpcClient): Promise<RelayFees> {
  const mempool = mempoolSchema.safeParse(await resultOf(client, 'getmempoolinfo', []));
  const { mempoolminfee, minrelaytxfee, incrementalrelayfee } = mempool.success ? mempool.data : {};
  let minimum = satsPerKvbOf(minrelaytxfee);
  if (minimum === undefined) {
    const info = infoSchema.safeParse(await resultOf(client, 'getinfo', []));
    minimum = satsPerKvbOf(info.success ? info.data.relayfee : undefined);
  }
  const least = minimum ?? DEFAULT_RELAY_FEES.minimumSatsPerKvb;
  const crowded = satsPerKvbOf(mempoolminfee) ?? 0n;
  return {
    minimumSatsPerKvb: crowded > least ? crowded : least,
    // btcd asks of a replacement what it asks of everything.
    incrementalSatsPerKvb: satsPerKvbOf(incrementalrelayfee) ?? minimum ?? DEFAULT_RELAY_FEES.incrementalSatsPerKvb,
  };
}

/** Undefined where the node does not have the method, or has nothing to say to it. */
async function resultOf(client: RpcClient, method: string, params: readonly unknown[]): Promise<unknown> {
  try {
    return await client.call(method, params);
  } catch (error) {
    if (!(error instanceof RpcError) || error.code === RPC_IN_WARMUP) throw error;
    return undefined;
  }
}
