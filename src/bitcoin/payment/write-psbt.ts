import { u32, u64, varint, withLength } from './serialise.js';

/** BIP174 and BIP371. */
const MAGIC = Buffer.from('70736274ff', 'hex');
const GLOBAL_UNSIGNED_TX = 0x00;
const IN_NON_WITNESS_UTXO = 0x00;
const IN_WITNESS_UTXO = 0x01;
const IN_REDEEM_SCRIPT = 0x04;
const IN_BIP32_DERIVATION = 0x06;
const IN_TAP_BIP32_DERIVATION = 0x16;
const IN_TAP_INTERNAL_KEY = 0x17;
const OUT_REDEEM_SCRIPT = 0x00;
const OUT_BIP32_DERIVATION = 0x02;
const OUT_TAP_INTERNAL_KEY = 0x05;
const OUT_TAP_BIP32_DERIVATION = 0x07;
const SEPARATOR = Buffer.of(0x00);

/** Whose key an input or a change output belongs to. */
export interface PsbtKey {
  /** Compressed; for taproot the internal key, of which 32 bytes are written. */
  publicKey: Uint8Array;
  masterFingerprint: Uint8Array;
  /** Hardened steps from 2^31 on. */
  path: readonly number[];
  taproot: boolean;
  /** Of sh(wpkh). */
  redeemScript: Uint8Array | undefined;
}

export interface PsbtInput {
  previousTransaction: Uint8Array | undefined;
  coin: { amountSats: bigint; script: Uint8Array } | undefined;
  key: PsbtKey;
}

/**
 * Writes a PSBT of version 0: every map's keys in ascending order, nothing that depends on more than what is given. Ours instead of
 * bitcoinjs-lib's, whose checks take five seconds for 100 inputs and 200 outputs, where this takes none.
 *
 * @param outputKeys for each output its key where it is change
 */
export function writePsbt(
  unsignedTransaction: Uint8Array,
  inputs: readonly PsbtInput[],
  outputKeys: readonly (PsbtKey | undefined)[],
): Uint8Array {
  const maps = [
    [pair(GLOBAL_UNSIGNED_TX, unsignedTransaction)],
    ...inputs.map(inputMap),
    ...outputKeys.map((key) => (key === undefined ? [] : outputMap(key))),
  ];
  return Buffer.concat([MAGIC, ...maps.flatMap((map) => [...map, SEPARATOR])]);
}

function inputMap({ previousTransaction, coin, key }: PsbtInput): Buffer[] {
  const map: Buffer[] = [];
  if (previousTransaction) map.push(pair(IN_NON_WITNESS_UTXO, previousTransaction));
  if (coin) map.push(pair(IN_WITNESS_UTXO, Buffer.concat([u64(coin.amountSats), withLength(coin.script)])));
  if (key.redeemScript) map.push(pair(IN_REDEEM_SCRIPT, key.redeemScript));
  if (!key.taproot) return [...map, derivation(IN_BIP32_DERIVATION, key)];
  return [...map, derivation(IN_TAP_BIP32_DERIVATION, key), pair(IN_TAP_INTERNAL_KEY, xOnly(key))];
}

function outputMap(key: PsbtKey): Buffer[] {
  if (key.taproot) return [pair(OUT_TAP_INTERNAL_KEY, xOnly(key)), derivation(OUT_TAP_BIP32_DERIVATION, key)];
  const redeem = key.redeemScript ? [pair(OUT_REDEEM_SCRIPT, key.redeemScript)] : [];
  return [...redeem, derivation(OUT_BIP32_DERIVATION, key)];
}

const xOnly = ({ publicKey }: PsbtKey): Uint8Array => publicKey.subarray(1, 33);

function derivation(type: number, key: PsbtKey): Buffer {
  const where = Buffer.concat([key.masterFingerprint, ...key.path.map(u32)]);
  // BIP371: how many leaves of the script tree the key is in comes first; there is no tree.
  return key.taproot ? pair(type, Buffer.concat([varint(0), where]), xOnly(key)) : pair(type, where, key.publicKey);
}

function pair(type: number, value: Uint8Array, keyData: Uint8Array = new Uint8Array()): Buffer {
  return Buffer.concat([varint(1 + keyData.length), Buffer.of(type), keyData, withLength(value)]);
}
