/** Why the built-in chain refused something: a value, as with commands. The comments name Bitcoin Core's own words for it. */
export type ChainRejectionCode =
  /** Bytes that are no transaction, or one that no block may hold (bad-txns-…). */
  | 'transaction-malformed'
  /** Allowed in a block, but not relayed: too large, version, OP_RETURN, scriptSig. */
  | 'transaction-non-standard'
  | 'transaction-not-final'
  | 'already-confirmed'
  /** bad-txns-inputs-missingorspent */
  | 'inputs-missing-or-spent'
  /** bad-txns-premature-spend-of-coinbase */
  | 'coinbase-immature'
  /** bad-txns-in-belowout */
  | 'outputs-exceed-inputs'
  /** mandatory-script-verify-flag-failed */
  | 'signature-invalid'
  /** Spends an output whose script this chain cannot verify. */
  | 'script-not-supported'
  | 'dust'
  /** min relay fee not met */
  | 'fee-too-low'
  /** txn-mempool-conflict: what it conflicts with does not signal BIP125. */
  | 'conflict-not-replaceable'
  /** insufficient fee, or replacement-adds-unconfirmed, or too many replaced */
  | 'replacement-refused'
  /** too-long-mempool-chain */
  | 'unconfirmed-chain-too-long'
  | 'mempool-full'
  | 'block-invalid'
  | 'block-unknown-parent'
  | 'block-count-invalid'
  | 'reorg-depth-invalid'
  | 'reorg-not-longer'
  | 'chain-full'
  | 'clock-too-far-ahead'
  | 'address-invalid'
  | 'amount-invalid'
  | 'miner-out-of-funds';

export interface ChainRejection {
  rejected: ChainRejectionCode;
  /** One sentence for people. */
  detail: string;
}

export function refuse(rejected: ChainRejectionCode, detail: string): ChainRejection {
  return { rejected, detail };
}

export function isChainRejection(value: object): value is ChainRejection {
  return 'rejected' in value;
}
