import { invariant } from '../../platform/assert.js';
import type { ScriptKind } from '../descriptors/parse-descriptor.js';

/** Which of the kinds that our descriptors derive a scriptPubKey has; a p2sh of ours is always the wrapped one (BIP49). */
export function kindOfScript(script: Uint8Array): ScriptKind {
  const starts = (...bytes: number[]): boolean => bytes.every((byte, index) => script[index] === byte);
  if (script.length === 22 && starts(0x00, 20)) return 'wpkh';
  if (script.length === 34 && starts(0x51, 32)) return 'tr';
  if (script.length === 23 && starts(0xa9, 20) && script[22] === 0x87) return 'sh-wpkh';
  const isKeyHash = script.length === 25 && starts(0x76, 0xa9, 20) && script[23] === 0x88 && script[24] === 0xac;
  invariant(isKeyHash, 'only coins whose script a descriptor of one key derives are spent');
  return 'pkh';
}
