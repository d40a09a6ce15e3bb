import { address as codec } from 'bitcoinjs-lib';
import type { NetworkName } from '../network.js';
import { NETWORK_PARAMETERS } from './network-parameters.js';

const OP_0 = 0x00;
const OP_1 = 0x51;
const OP_16 = 0x60;
const OP_DUP = 0x76;
const OP_EQUAL = 0x87;
const OP_EQUALVERIFY = 0x88;
const OP_HASH160 = 0xa9;
const OP_CHECKSIG = 0xac;

/** BIP173: 90 characters at most. Base58 addresses are shorter. */
const MAX_ADDRESS_LENGTH = 90;

/**
 * The address of a scriptPubKey: P2PKH, P2SH and every witness version, also those that mean nothing yet (BIP350).
 * Null for everything else: an odd script is data, not an error.
 */
export function scriptToAddress(script: Uint8Array, network: NetworkName): string | null {
  const { pubKeyHash, scriptHash, bech32 } = NETWORK_PARAMETERS[network];
  const length = script.length;
  if (
    length === 25 &&
    script[0] === OP_DUP &&
    script[1] === OP_HASH160 &&
    script[2] === 20 &&
    script[23] === OP_EQUALVERIFY &&
    script[24] === OP_CHECKSIG
  ) {
    return codec.toBase58Check(script.subarray(3, 23), pubKeyHash);
  }
  if (length === 23 && script[0] === OP_HASH160 && script[1] === 20 && script[22] === OP_EQUAL) {
    return codec.toBase58Check(script.subarray(2, 22), scriptHash);
  }
  const witness = witnessProgram(script);
  return witness === undefined ? null : codec.toBech32(witness.program, witness.version, bech32);
}

/** BIP141: a version and a push of 2 to 40 bytes; version 0 has 20 or 32 (other lengths can never be spent and have no address). */
function witnessProgram(script: Uint8Array): { version: number; program: Uint8Array } | undefined {
  const [opcode, pushed] = script;
  if (opcode === undefined || pushed === undefined) return undefined;
  if (pushed < 2 || pushed > 40 || script.length !== pushed + 2) return undefined;
  const program = script.subarray(2);
  if (opcode === OP_0) return pushed === 20 || pushed === 32 ? { version: 0, program } : undefined;
  return opcode >= OP_1 && opcode <= OP_16 ? { version: opcode - OP_1 + 1, program } : undefined;
}

/** The scriptPubKey of an address; undefined where it is none of this network. */
export function addressToScript(address: string, network: NetworkName): Uint8Array | undefined {
  if (address.length > MAX_ADDRESS_LENGTH) return undefined;
  return fromBech32(address, network) ?? fromBase58(address, network);
}

function fromBase58(address: string, network: NetworkName): Uint8Array | undefined {
  const { pubKeyHash, scriptHash } = NETWORK_PARAMETERS[network];
  const decoded = decodeOrUndefined(() => codec.fromBase58Check(address));
  if (decoded?.hash.length !== 20) return undefined;
  if (decoded.version === pubKeyHash) {
    return Uint8Array.from([OP_DUP, OP_HASH160, 20, ...decoded.hash, OP_EQUALVERIFY, OP_CHECKSIG]);
  }
  if (decoded.version === scriptHash) return Uint8Array.from([OP_HASH160, 20, ...decoded.hash, OP_EQUAL]);
  return undefined;
}

function fromBech32(address: string, network: NetworkName): Uint8Array | undefined {
  // The codec checks that version 0 is bech32 and every later version bech32m (BIP350).
  const decoded = decodeOrUndefined(() => codec.fromBech32(address));
  if (decoded === undefined || decoded.prefix !== NETWORK_PARAMETERS[network].bech32) return undefined;
  const { version, data } = decoded;
  const lengthIsValid =
    version === 0 ? data.length === 20 || data.length === 32 : data.length >= 2 && data.length <= 40;
  if (version > 16 || !lengthIsValid) return undefined;
  return Uint8Array.from([version === 0 ? OP_0 : OP_1 + version - 1, data.length, ...data]);
}

function decodeOrUndefined<T>(decode: () => T): T | undefined {
  try {
    return decode();
  } catch {
    // The codec throws for everything that is not an address: the answer is that it is none.
    return undefined;
  }
}
