import {
  chooseFeeRate,
  type ChosenFeeRate,
  type FeeRateParameters,
  type NoFeeRate,
} from '../bitcoin/payment/choose-fee-rate.js';
import type { RelayFees } from '../bitcoin/payment/payment-node.js';
import { RetryableError } from '../platform/errors.js';
import type { WorkflowParts } from './workflow-parts.js';

export interface FeeQuestion {
  confirmationTarget: number;
  askedSatsPerKvb?: bigint | undefined;
  /** For a replacement that is due: what is paid now, and for how many blocks the target is missed. */
  overdue?: { previousSatsPerKvb: bigint; blocks: number } | undefined;
}

export type FeeAnswer = (ChosenFeeRate & { relay: RelayFees }) | NoFeeRate;

/** Asks the node, and chooses within the policy. A node that does not answer is a reason, not an error. */
export async function feeRateFor(
  { node, policy }: Pick<WorkflowParts, 'node' | 'policy'>,
  { confirmationTarget, askedSatsPerKvb, overdue }: FeeQuestion,
): Promise<FeeAnswer> {
  try {
    const [estimate, relay] = await Promise.all([node.feeRate(confirmationTarget), node.relayFees()]);
    const parameters: FeeRateParameters = {
      estimateSatsPerKvb: estimate?.satsPerKvb,
      confirmationTarget,
      minimumSatsPerKvb: relay.minimumSatsPerKvb,
      maximumSatsPerKvb: policy.maxFeeRateSatsPerKvb,
      fallbackSatsPerKvb: policy.fallbackFeeRateSatsPerKvb,
      askedSatsPerKvb,
      ...(overdue === undefined ? {} : { overdue: { ...overdue, incrementalSatsPerKvb: relay.incrementalSatsPerKvb } }),
    };
    const chosen = chooseFeeRate(parameters);
    return chosen.kind === 'chosen' ? { ...chosen, relay } : chosen;
  } catch (error) {
    if (!(error instanceof RetryableError)) throw error;
    return {
      kind: 'refused',
      reason: 'node-unavailable',
      detail: `The node does not answer: ${error.message}`.slice(0, 500),
    };
  }
}
