import { z } from 'zod';
import { SourceError } from '../block-source.js';
import type { NetworkName } from '../network.js';
import type { AskNode } from './ask-node.js';
import { CHAIN_NAMES, GENESIS_HASHES } from './genesis-hashes.js';
import type { BatchResult } from './rpc-client.js';
import { RPC_INVALID_PARAMETER, RPC_MISC_ERROR, RpcError } from './rpc-error.js';

export interface CheckOptions {
  network: NetworkName;
  /** Where the ledger's chain starts, if not at genesis. */
  startBlock?: { height: number; hash: string };
  /** The lowest block that the ledger has yet to read. */
  firstNeededHeight: () => number;
}

const infoSchema = z.object({
  chain: z.string(),
  blocks: z.number().int().min(0),
  pruned: z.boolean().optional(),
  pruneheight: z.number().int().min(0).optional(),
});

/**
 * Whether this node can serve this ledger: its network by name and by genesis block, the start block on its chain, and
 * nothing pruned that is still to be read.
 *
 * @throws SourceError `wrong-network`, `pruned`, or `unavailable` while the node has not reached the start block
 */
export async function checkNode(ask: AskNode, node: string, options: CheckOptions): Promise<void> {
  const { network, startBlock } = options;
  const [info, genesis, start] = await ask([
    { method: 'getblockchaininfo' },
    { method: 'getblockhash', params: [0] },
    { method: 'getblockhash', params: [startBlock?.height ?? 0] },
  ]);
  const { chain, blocks, pruned, pruneheight } = readInfo(valueOf(info), node);
  if (!CHAIN_NAMES[network].includes(chain)) {
    throw new SourceError('wrong-network', `The node follows ${chain}, this ledger ${network}.`, {
      node,
      chain,
      network,
    });
  }
  if (valueOf(genesis) !== GENESIS_HASHES[network]) {
    const message = `The node's genesis block is not that of ${network}.`;
    throw new SourceError('wrong-network', message, { node, genesis: valueOf(genesis), network });
  }
  if (startBlock) checkStart(start, startBlock, node, blocks);
  const needed = options.firstNeededHeight();
  if (pruned === true && (pruneheight ?? Number.POSITIVE_INFINITY) > needed) {
    const message = `The node is pruned below block ${pruneheight ?? 'unknown'}, and this ledger has yet to read block ${needed}.`;
    throw new SourceError('pruned', message, { node, pruneheight, needed });
  }
}

function checkStart(
  start: BatchResult | RpcError | undefined,
  startBlock: { height: number; hash: string },
  node: string,
  blocks: number,
): void {
  if (start instanceof RpcError && isOutOfRange(start)) {
    const message = `The node has reached block ${blocks}, this ledger starts at block ${startBlock.height}.`;
    throw new SourceError('unavailable', message, { node, blocks, startBlock });
  }
  if (valueOf(start) === startBlock.hash) return;
  const message = `The start block ${startBlock.hash} is not on the node's chain at height ${startBlock.height}.`;
  throw new SourceError('wrong-network', message, { node, startBlock, found: valueOf(start) });
}

function readInfo(value: unknown, node: string): z.infer<typeof infoSchema> {
  const parsed = infoSchema.safeParse(value);
  if (!parsed.success)
    throw new SourceError('malformed-answer', 'The node describes its chain in an unknown form.', { node });
  return parsed.data;
}

function valueOf(outcome: BatchResult | RpcError | undefined): unknown {
  if (outcome instanceof RpcError) throw outcome;
  return outcome?.result;
}

/** "Block height out of range": -8 of Bitcoin Core, -1 of btcd. */
export function isOutOfRange(error: RpcError): boolean {
  return (
    error.code === RPC_INVALID_PARAMETER || (error.code === RPC_MISC_ERROR && /out of range/i.test(error.nodeMessage))
  );
}
