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
  | 'insufficient-funds';

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
