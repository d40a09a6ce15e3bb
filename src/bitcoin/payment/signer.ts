import type { Signer } from '../../domain/events/wallet-events.js';

export interface SigningRequest {
  payoutId: string;
  walletId: string;
  /** The unsigned PSBT (BIP174), binary. The same payment is always asked with the same bytes. */
  psbt: Uint8Array;
}

/** What comes of asking a signer. Nothing of it is trusted: `checkSigned` decides what was signed. */
export type SignerAnswer =
  /** What it gave back: a PSBT as text or bytes, or a raw transaction in hex. Not looked at yet. */
  | { kind: 'signed'; signed: string | Uint8Array }
  /** It will come later, or a person brings it: ask again with the same request. */
  | { kind: 'pending'; detail: string }
  /** It says no, and why. Asking again cannot help until somebody changes something. */
  | { kind: 'refused'; detail: string }
  /** No answer, none in time, or none that makes sense: ask again with the same request. */
  | { kind: 'unavailable'; detail: string };

/**
 * Something that signs payments. Called again with the same request after every time-out, crash and delay, so signing twice must
 * be harmless: it is, because both signatures are of one transaction. Never throws for what the world does.
 */
export interface PsbtSigner {
  readonly name: Signer;
  sign(request: SigningRequest): Promise<SignerAnswer>;
}
