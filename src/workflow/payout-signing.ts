import { checkSigned, type CheckedSigned } from '../bitcoin/payment/check-signed.js';
import type { PaymentNode } from '../bitcoin/payment/payment-node.js';
import type { PlannedTransaction } from '../domain/events/payout-events.js';
import type { PayoutState } from '../domain/payout/payout-state.js';
import { invariant } from '../platform/assert.js';
import { findSent } from './find-sent.js';
import { unsignedPsbt, type UnsignedParts } from './steps/sign.js';

/** A PSBT is one transaction, so what is asked for is complete, wrong, or not yet complete. */
export type SignedCheck =
  | (Omit<Extract<CheckedSigned, { kind: 'complete' }>, 'feeSats'> & { feeSats: string })
  | { kind: 'mismatch'; differences: readonly { field: string; detail: string }[] }
  | { kind: 'incomplete'; inputs: readonly number[] };

export interface ManualSigningParts extends UnsignedParts {
  node: Pick<PaymentNode, 'previousTransactions' | 'find' | 'coinState' | 'canSend'>;
}

export interface ManualSigning {
  buildPsbt(payout: PayoutState, candidate: { transaction: PlannedTransaction }): Promise<Uint8Array>;
  checkSigned(
    payout: PayoutState,
    candidate: { transaction: PlannedTransaction },
    signed: Uint8Array | string,
  ): Promise<SignedCheck>;
  findSent(candidate: { transaction: PlannedTransaction }): Promise<string | undefined>;
}

/** What is fetched to be signed by hand, and how what is brought back is judged: as everything that any signer returns. */
export function createManualSigning(parts: ManualSigningParts): ManualSigning {
  return {
    buildPsbt: async ({ started }, { transaction }) => {
      invariant(started !== null, 'a payout with a candidate has been started');
      return await unsignedPsbt(parts, started.walletId, transaction);
    },
    checkSigned: (_payout, { transaction }, signed) => Promise.resolve(judge(checkSigned(signed, transaction))),
    findSent: ({ transaction }) => findSent(parts.node, transaction),
  };
}

function judge(checked: CheckedSigned): SignedCheck {
  switch (checked.kind) {
    case 'complete':
      return { ...checked, feeSats: checked.feeSats.toString() };
    case 'mismatch':
      return { kind: 'mismatch', differences: checked.mismatches };
    case 'incomplete':
      return checked;
  }
}
