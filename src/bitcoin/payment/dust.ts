import { isUnspendable } from '../regtest/coin.js';

/** Satoshis per virtual byte that spending an output is reckoned at when it is judged to be dust (Bitcoin Core, policy.h, `DUST_RELAY_TX_FEE`). */
const DUST_SATS_PER_VBYTE = 3n;

/** Outpoint, sequence and empty scriptSig. */
const INPUT_BYTES = 32 + 4 + 4 + 1;
/** A signature and a key, the same for every kind of script: what Core reckons with. */
const SATISFACTION_BYTES = 107;
const WITNESS_DISCOUNT = 4;

/**
 * The least that an output of this script may be worth to be relayed, in satoshis: below it costs more to spend than it is
 * worth (Bitcoin Core, policy.cpp, `GetDustThreshold`). 294 for p2wpkh, 330 for p2wsh, p2tr and witness versions to come of 32
 * bytes, 540 for p2sh, 546 for p2pkh; 0 for what nobody can spend.
 */
export function dustLimitSats(script: Uint8Array): bigint {
  if (isUnspendable(script)) return 0n;
  const lengthPrefix = script.length < 0xfd ? 1 : 3;
  const outputBytes = 8 + lengthPrefix + script.length;
  const satisfaction = isWitnessProgram(script)
    ? Math.floor(SATISFACTION_BYTES / WITNESS_DISCOUNT)
    : SATISFACTION_BYTES;
  return BigInt(outputBytes + INPUT_BYTES + satisfaction) * DUST_SATS_PER_VBYTE;
}

/** A witness program of any version (BIP141). */
function isWitnessProgram(script: Uint8Array): boolean {
  const version = script[0] ?? 0xff;
  const versionOk = version === 0 || (version >= 0x51 && version <= 0x60);
  return versionOk && script.length >= 4 && script.length <= 42 && script[1] === script.length - 2;
}
