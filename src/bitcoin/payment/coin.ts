import type { PlannedInput } from '../../domain/events/payout-events.js';
import type { Branch } from '../../domain/events/wallet-events.js';
import type { ScriptKind } from '../descriptors/parse-descriptor.js';
import { kindOfScript } from './script-kind.js';

/** A coin of a wallet that may be spent: its script is one of the wallet's descriptors. */
export interface Coin {
  readonly txid: string;
  readonly vout: number;
  readonly amountSats: bigint;
  /** scriptPubKey, in hex. */
  readonly script: string;
  readonly kind: ScriptKind;
  readonly derivation: { readonly branch: Branch; readonly index: number };
  /** Hash of the block that holds it; null for our own unconfirmed change. */
  readonly blockHash: string | null;
  readonly confirmations: number;
}

/**
 * An input that was planned before, as a coin again.
 *
 * @throws InvariantError for a script that no descriptor of one key makes
 */
export function coinOfInput({ txid, vout, amountSats, script, derivation, blockHash }: PlannedInput): Coin {
  const kind = kindOfScript(Buffer.from(script, 'hex'));
  const confirmations = blockHash === null ? 0 : 1;
  return { txid, vout, amountSats: BigInt(amountSats), script, kind, derivation, blockHash, confirmations };
}
