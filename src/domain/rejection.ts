/**
 * Why a command was refused: a value, not an exception. The codes are part of the contract with clients
 * (`/problems/<code>`); `src/command/http/problems.ts` maps each to a status.
 */
export type RejectionCode =
  | 'account-exists'
  | 'account-not-found'
  | 'wallet-exists'
  | 'wallet-not-found'
  | 'descriptor-invalid'
  | 'descriptor-in-use'
  | 'signer-not-allowed'
  | 'wallet-has-no-descriptor'
  | 'script-already-watched'
  | 'script-invalid'
  | 'address-invalid'
  | 'transfer-exists'
  | 'transfer-to-self'
  | 'amount-invalid'
  | 'insufficient-funds'
  | 'amount-dust'
  | 'amount-too-large'
  | 'fee-rate-too-high'
  | 'wallet-not-chosen'
  | 'withdrawal-exists'
  | 'withdrawal-not-found'
  | 'withdrawal-not-cancellable'
  | 'withdrawal-not-bumpable'
  /** It is cancelled, or another payout has it: no payout may take it (any more). */
  | 'withdrawal-not-payable'
  /** A coin is reserved for another payout. */
  | 'coins-reserved'
  /** The index of the change address was given to another payout. */
  | 'change-address-taken'
  | 'payout-not-found'
  /** The step does not fit where the payout stands. */
  | 'payout-not-ready'
  | 'payout-not-resolvable'
  | 'psbt-mismatch'
  | 'psbt-incomplete';

export interface Rejection {
  rejected: RejectionCode;
  /** One sentence for people; never holds a secret. */
  detail: string;
}

export function reject(rejected: RejectionCode, detail: string): Rejection {
  return { rejected, detail };
}

export function isRejection(value: object): value is Rejection {
  return 'rejected' in value;
}
