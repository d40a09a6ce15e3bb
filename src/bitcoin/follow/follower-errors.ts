import { RetryableError } from '../../platform/errors.js';
import { SourceError } from '../block-source.js';
import type { InvalidBlock } from './execute-plan.js';
import type { FollowerState } from './follower-status.js';

/** The source gave bytes that are not a valid block under this hash. */
export class InvalidBlockError extends RetryableError {
  constructor(readonly block: InvalidBlock) {
    super(`Block ${block.hash} is not valid: ${block.invalid.reason}, ${block.invalid.detail}.`, { ...block });
  }
}

/** The source's chain parts from ours below the block where the ledger begins: there is nothing to go back to. */
export class BelowStartError extends RetryableError {}

/** What the follower's state is called after a failure, and a sentence about it. */
export function troubleOf(error: unknown): [FollowerState, string] {
  const detail = error instanceof Error ? error.message : String(error);
  if (error instanceof SourceError) return [error.trouble, detail];
  if (error instanceof InvalidBlockError) return ['block-invalid', detail];
  if (error instanceof BelowStartError) return ['halted', detail];
  if (error instanceof RetryableError) return ['ledger-unavailable', detail];
  return ['halted', detail];
}
