import type { KnownTransaction } from './simulated-chain.js';

/** What really happened outside of the ledger, whatever the ledger has recorded of it. */
export class Evidence {
  /** Transactions that the signer really signed because the ledger asked for them, by raw bytes in hex, with the payout they were asked for. */
  readonly signed = new Map<string, { payoutId: string; transaction: KnownTransaction }>();
  /** Txids whose `CandidateSigned` is durable. */
  readonly recordedSigned = new Set<string>();
  /** Txids that the node was ever sent, or asked about. */
  readonly sent = new Set<string>();
  /** Txids that the signer has broadcast by itself. */
  readonly sentBySigner = new Set<string>();
  /** What must never happen, and did. */
  readonly violations: string[] = [];

  violated(what: string): void {
    this.violations.push(what);
  }
}
