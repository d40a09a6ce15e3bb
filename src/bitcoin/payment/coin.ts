import type { PlannedInput } from '../../domain/events/payout-events.js';
import type { Branch } from '../../domain/events/wallet-events.js';
import { invariant } from '../../platform/assert.js';
import type { ScriptKind } from '../descriptors/parse-descriptor.js';

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

export function outpointOf({ txid, vout }: { readonly txid: string; readonly vout: number }): string {
  return `${txid}:${vout}`;
}

const SHAPES: readonly (readonly [ScriptKind, RegExp])[] = [
  ['wpkh', /^0014[0-9a-f]{40}$/],
  ['tr', /^5120[0-9a-f]{64}$/],
  ['sh-wpkh', /^a914[0-9a-f]{40}87$/],
  ['pkh', /^76a914[0-9a-f]{40}88ac$/],
];

/** The kind of descriptor that a script of a wallet is of; undefined where no descriptor of ours makes such scripts. */
export function kindOfScript(script: string): ScriptKind | undefined {
  return SHAPES.find(([, shape]) => shape.test(script))?.[0];
}

/** An input that was planned before, as a coin again. */
export function coinOfInput(input: PlannedInput): Coin {
  const { txid, vout, script, derivation, blockHash } = input;
  const kind = kindOfScript(script);
  invariant(kind !== undefined, `input ${outpointOf(input)} was planned, so its script is one of a descriptor`);
  const amountSats = BigInt(input.amountSats);
  return { txid, vout, amountSats, script, kind, derivation, blockHash, confirmations: blockHash === null ? 0 : 1 };
}
