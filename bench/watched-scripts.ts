import { createScriptSet } from '../src/bitcoin/scan/script-set.js';
import type { ScriptSet } from '../src/bitcoin/scan-types.js';

export const WATCHED_SCRIPTS = 1_000_000;

/** A million scripts of 22 to 34 bytes, the same ones in every run, none of which a block pays. */
export function watchedScripts(): ScriptSet {
  const scripts = createScriptSet();
  const script = new Uint8Array(34);
  const view = new DataView(script.buffer);
  for (let i = 0; i < WATCHED_SCRIPTS; i++) {
    for (let at = 0; at < 32; at += 4) view.setUint32(at, Math.imul(i + at, 0x9e3779b1) ^ (i >>> 3));
    view.setUint16(32, i & 0xffff);
    scripts.add(script.subarray(0, 22 + (i % 13)), i);
  }
  return scripts;
}
