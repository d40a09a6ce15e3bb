import { PlatformError } from '../../platform/errors.js';

/** Codes of Bitcoin Core's protocol.h that btcd shares. */
export const RPC_INVALID_ADDRESS_OR_KEY = -5;
export const RPC_INVALID_PARAMETER = -8;
export const RPC_MISC_ERROR = -1;
export const RPC_IN_WARMUP = -28;

/**
 * The node understood the call and refused it: its own code and its own words. A code alone must never decide about money:
 * -25 of `sendrawtransaction` means three different things on btcd.
 */
export class RpcError extends PlatformError {
  readonly retryable: boolean;
  constructor(
    readonly method: string,
    readonly code: number,
    readonly nodeMessage: string,
  ) {
    super(`The Bitcoin node refused ${method}: ${nodeMessage} (${code})`, { method, code, nodeMessage });
    this.retryable = code === RPC_IN_WARMUP;
  }
}
