import type { BatchResult } from './rpc-client.js';
import type { RpcError } from './rpc-error.js';
import type { SourceMethod } from './rpc-methods.js';

/** Asks the node several things at once. Throws where nothing of use came back; the RpcError of one call stands in its place. */
export type AskNode = (
  calls: readonly { method: SourceMethod; params?: readonly unknown[] }[],
) => Promise<(BatchResult | RpcError)[]>;
