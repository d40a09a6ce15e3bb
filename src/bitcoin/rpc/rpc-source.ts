import { invariant } from '../../platform/assert.js';
import { SourceError, type BlockSource } from '../block-source.js';
import type { NetworkName } from '../network.js';
import type { AskNode } from './ask-node.js';
import { checkNode, isOutOfRange } from './check-node.js';
import { bytesOfHex, createBlockFetcher, headerHash, HEADER_BYTES } from './fetch-blocks.js';
import { createRpcClient, type BatchResult, type RpcClientOptions } from './rpc-client.js';
import { RPC_INVALID_ADDRESS_OR_KEY, RpcError } from './rpc-error.js';
import { DEFAULT_POLL_INTERVAL_MS, MAX_HEADERS_PER_BATCH } from './rpc-limits.js';
import type { SourceMethod } from './rpc-methods.js';
import { systemTimers } from './timers.js';
import { createTipPoller } from './tip-poller.js';

export interface RpcSourceOptions extends RpcClientOptions {
  network: NetworkName;
  /** Where the ledger's chain starts, if not at genesis. */
  startBlock?: { height: number; hash: string };
  /** The lowest block that the ledger has yet to read; a node that is pruned above it is refused. Block 1 unless given. */
  firstNeededHeight?: () => number;
  pollIntervalMs?: number;
}

/** Bitcoin Core or btcd as a source of blocks. It calls the methods of `SOURCE_METHODS` and no others. */
export function createRpcSource(options: RpcSourceOptions): BlockSource {
  const client = createRpcClient(options);
  const ask: AskNode = (calls) => client.batch(calls);
  const askOne = async (method: SourceMethod, params: readonly unknown[] = []): Promise<unknown> =>
    client.call(method, params);
  const fetchBlocks = createBlockFetcher(ask);
  const poller = createTipPoller(
    async () => readHash(await askOne('getbestblockhash'), client.node),
    options.pollIntervalMs ?? DEFAULT_POLL_INTERVAL_MS,
    options.timers ?? systemTimers,
  );

  return {
    name: 'rpc',
    check: () =>
      translated(client.node, () =>
        checkNode(ask, client.node, {
          network: options.network,
          firstNeededHeight: options.firstNeededHeight ?? (() => 1),
          ...(options.startBlock ? { startBlock: options.startBlock } : {}),
        }),
      ),
    tip: () => translated(client.node, () => readTip(ask, client.node)),
    hashAt: (height) =>
      translated(client.node, async () => {
        try {
          return readHash(await askOne('getblockhash', [height]), client.node);
        } catch (error) {
          if (error instanceof RpcError && isOutOfRange(error)) return undefined;
          throw error;
        }
      }),
    hashesAt: (heights) => translated(client.node, () => readHashes(ask, heights, client.node)),
    headers: (hashes) => translated(client.node, () => readHeaders(ask, hashes, client.node)),
    blocks: (hashes) => translated(client.node, () => fetchBlocks(hashes)),
    onWake: (callback) => poller.onWake(callback),
    close() {
      poller.stop();
      client.close();
      return Promise.resolve();
    },
  };
}

/** Undefined for heights above the tip. As many as a batch of headers may have: an answer is shorter than a header. */
async function readHashes(ask: AskNode, heights: readonly number[], node: string): Promise<(string | undefined)[]> {
  const hashes: (string | undefined)[] = [];
  for (let start = 0; start < heights.length; start += MAX_HEADERS_PER_BATCH) {
    const batch = heights.slice(start, start + MAX_HEADERS_PER_BATCH);
    const answers = await ask(batch.map((height) => ({ method: 'getblockhash', params: [height] })));
    for (const answer of answers) {
      const isAbove = answer instanceof RpcError && isOutOfRange(answer);
      hashes.push(isAbove ? undefined : readHash(resultOf(answer), node));
    }
  }
  return hashes;
}

/** Attempts to see the tip and its height at one moment: blocks would have to come faster than answers to exhaust them. */
const MAX_TIP_ATTEMPTS = 5;

/** Hash and height of the best block. A block may come between two answers, so the height is looked up again by hash. */
async function readTip(ask: AskNode, node: string): Promise<{ hash: string; height: number }> {
  for (let attempt = 0; attempt < MAX_TIP_ATTEMPTS; attempt += 1) {
    const [count, best] = await ask([{ method: 'getblockcount' }, { method: 'getbestblockhash' }]);
    const height = resultOf(count);
    const hash = readHash(resultOf(best), node);
    if (typeof height !== 'number' || !Number.isSafeInteger(height) || height < 0) throw malformed(node, 'a height');
    const [there] = await ask([{ method: 'getblockhash', params: [height] }]);
    if (there && !(there instanceof RpcError) && there.result === hash) return { hash, height };
  }
  throw new SourceError('unavailable', "The node's tip changes faster than it can be read.", { node });
}

async function readHeaders(ask: AskNode, hashes: readonly string[], node: string): Promise<(Uint8Array | undefined)[]> {
  const headers: (Uint8Array | undefined)[] = [];
  while (headers.length < hashes.length) {
    const part = hashes.slice(headers.length, headers.length + MAX_HEADERS_PER_BATCH);
    const outcomes = await ask(part.map((hash) => ({ method: 'getblockheader', params: [hash, false] })));
    invariant(outcomes.length === part.length, 'a batch has as many answers as calls');
    for (const [index, outcome] of outcomes.entries()) headers.push(readHeader(outcome, part[index] ?? '', node));
  }
  return headers;
}

function readHeader(outcome: BatchResult | RpcError, hash: string, node: string): Uint8Array | undefined {
  if (outcome instanceof RpcError && outcome.code === RPC_INVALID_ADDRESS_OR_KEY) return undefined;
  const bytes = bytesOfHex(resultOf(outcome));
  if (bytes?.length !== HEADER_BYTES) throw malformed(node, 'a header of 80 bytes');
  if (headerHash(bytes) !== hash) {
    throw new SourceError('block-mismatch', 'The node answered with another header than the one asked for.', {
      node,
      hash,
    });
  }
  return bytes;
}

function resultOf(outcome: BatchResult | RpcError | undefined): unknown {
  if (outcome instanceof RpcError) throw outcome;
  return outcome?.result;
}

function readHash(value: unknown, node: string): string {
  if (typeof value === 'string' && /^[0-9a-f]{64}$/.test(value)) return value;
  throw malformed(node, 'a block hash');
}

function malformed(node: string, expected: string): SourceError {
  return new SourceError('malformed-answer', `The Bitcoin node at ${node} did not answer with ${expected}.`, { node });
}

/** What the node refuses without a reason that concerns this ledger (still loading, a method not allowed) is "unavailable". */
async function translated<T>(node: string, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    if (!(error instanceof RpcError)) throw error;
    throw new SourceError('unavailable', error.message, { node, ...error.facts }, { cause: error });
  }
}
