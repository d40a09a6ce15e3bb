/**
 * The one place that says what each error code means over HTTP: its status and its title (RFC 9457). Codes are part of the
 * contract with clients (`/problems/<code>`): never rename one, never change its status.
 */
export const PROBLEM_CODES = {
  // The request itself
  'request-malformed': { status: 400, title: 'The request is malformed' },
  'json-malformed': { status: 400, title: 'The body is not valid JSON' },
  'validation-failed': { status: 400, title: 'The request does not match its schema' },
  'idempotency-key-missing': { status: 400, title: 'An Idempotency-Key header is needed' },
  'idempotency-key-invalid': { status: 400, title: 'The Idempotency-Key header is not valid' },
  unauthorized: { status: 401, title: 'An API key is needed' },
  'origin-not-allowed': { status: 403, title: 'Requests from there are not allowed' },
  'not-found': { status: 404, title: 'There is nothing at this address' },
  'method-not-allowed': { status: 405, title: 'This method is not allowed here' },
  'not-acceptable': { status: 406, title: 'No representation is acceptable' },
  'request-timeout': { status: 408, title: 'The request took too long to arrive' },
  conflict: { status: 409, title: 'The request is in conflict with the present state' },
  'body-too-large': { status: 413, title: 'The body is too large' },
  'uri-too-long': { status: 414, title: 'The address is too long' },
  'unsupported-media-type': { status: 415, title: 'The content type is not supported here' },
  'expectation-failed': { status: 417, title: 'The expectation is not known' },
  'headers-too-large': { status: 431, title: 'The headers are too large' },

  // Idempotency
  'idempotency-key-in-use': { status: 409, title: 'A request with this key is still running' },
  'idempotency-key-reused': { status: 422, title: 'The key was used for another request' },

  // Accounts and transfers
  'account-exists': { status: 409, title: 'The account exists' },
  'account-not-found': { status: 404, title: 'There is no such account' },
  'transfer-exists': { status: 409, title: 'The transfer exists' },
  'transfer-to-self': { status: 422, title: 'A transfer needs two accounts' },
  'amount-invalid': { status: 422, title: 'The amount is not valid' },
  'insufficient-funds': { status: 422, title: 'The account does not hold enough' },

  // Wallets
  'wallet-exists': { status: 409, title: 'The wallet exists' },
  'wallet-not-found': { status: 404, title: 'There is no such wallet' },
  'descriptor-invalid': { status: 422, title: 'The descriptor is not valid' },
  'descriptor-in-use': { status: 409, title: 'Another wallet has this descriptor' },
  'signer-not-allowed': { status: 422, title: 'This signer is not allowed on this network' },
  'wallet-has-no-descriptor': { status: 409, title: 'The wallet has no descriptor' },
  'script-already-watched': { status: 409, title: 'The script is watched already' },
  'script-invalid': { status: 422, title: 'The script is not valid' },
  'address-invalid': { status: 422, title: 'The address is not valid' },

  // Withdrawals and payouts
  'amount-dust': { status: 422, title: 'The amount is too small to be paid' },
  'amount-too-large': { status: 422, title: 'The amount is larger than allowed here' },
  'fee-rate-too-high': { status: 422, title: 'The fee rate is higher than allowed here' },
  'wallet-not-chosen': { status: 422, title: 'It has to be said which wallet pays' },
  'withdrawal-exists': { status: 409, title: 'The withdrawal exists' },
  'withdrawal-not-found': { status: 404, title: 'There is no such withdrawal' },
  'withdrawal-not-cancellable': { status: 409, title: 'The withdrawal cannot be cancelled any more' },
  'withdrawal-not-bumpable': { status: 409, title: 'The fee of this withdrawal cannot be raised now' },
  'withdrawal-not-payable': { status: 409, title: 'The withdrawal is not to be paid by this payout' },
  'coins-reserved': { status: 409, title: 'A coin is reserved for another payout' },
  'change-address-taken': { status: 409, title: 'The change address belongs to another payout' },
  'payout-not-found': { status: 404, title: 'There is no such payout' },
  'payout-not-ready': { status: 409, title: 'The payout is not where this could be done' },
  'payout-not-resolvable': { status: 409, title: 'The payout cannot be resolved like this' },
  'psbt-mismatch': { status: 422, title: 'The PSBT is not what was asked for' },
  'psbt-incomplete': { status: 422, title: 'The PSBT is not completely signed' },

  // Blocks
  'chain-source-not-push': { status: 409, title: 'Blocks do not come by push here' },
  'block-unknown-parent': { status: 409, title: 'The parent of the block is not known' },
  'block-invalid': { status: 422, title: 'The block is not valid' },
  'dev-chain-refused': { status: 422, title: 'The built-in chain refused' },

  // When the system does not know
  'internal-error': { status: 500, title: 'Something went wrong here' },
  'ledger-behind': { status: 503, title: 'The read models are behind the ledger' },
  busy: { status: 503, title: 'Too much to do at the moment' },
  unavailable: { status: 503, title: 'A part of the system is not available' },
  'shutting-down': { status: 503, title: 'The server is about to stop' },
} as const satisfies Record<string, { status: number; title: string }>;

export type ProblemCode = keyof typeof PROBLEM_CODES;
