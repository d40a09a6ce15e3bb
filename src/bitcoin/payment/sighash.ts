import { crypto, type Transaction } from 'bitcoinjs-lib';
import { hash } from 'node:crypto';
import { u32, u64, varint, withLength } from './serialise.js';

/** BIP143 and BIP341: every signature covers everything. DEFAULT is ALL with the byte left out, for taproot only. */
export const SIGHASH_DEFAULT = 0x00;
export const SIGHASH_ALL = 0x01;

/** A coin as we know it, never as somebody claims it. */
export interface OwnCoin {
  script: Uint8Array;
  amountSats: bigint;
}

/** Message digests of one transaction, with what all inputs share hashed once: 600 inputs would else be hashed 600 times. */
export interface Sighashes {
  /**
   * The first of the two rounds of SHA-256 over what an ECDSA signature with SIGHASH_ALL covers. Its verifier hashes once more.
   *
   * @param scriptCode for pkh the scriptPubKey itself; for wpkh what its program stands for (BIP143)
   */
  legacyOnce(index: number, scriptCode: Uint8Array): Uint8Array;
  witnessV0Once(index: number, scriptCode: Uint8Array, amountSats: bigint): Uint8Array;
  /** BIP341, key path, without annex. */
  taproot(index: number, hashType: typeof SIGHASH_DEFAULT | typeof SIGHASH_ALL): Uint8Array;
}

const sha256 = (bytes: Uint8Array): Buffer => hash('sha256', bytes, 'buffer');

/** @param coins what the inputs spend, in their order */
export function sighashesOf(tx: Transaction, coins: readonly OwnCoin[]): Sighashes {
  const outpoints = tx.ins.map(({ hash: txHash, index }) => Buffer.concat([txHash, u32(index)]));
  const sequences = tx.ins.map(({ sequence }) => u32(sequence));
  const outputs = Buffer.concat(tx.outs.map(({ script, value }) => Buffer.concat([u64(value), withLength(script)])));
  const version = u32(tx.version);
  const locktime = u32(tx.locktime);
  const prevoutsHash = sha256(Buffer.concat(outpoints));
  const sequencesHash = sha256(Buffer.concat(sequences));
  const outputsHash = sha256(outputs);
  const amountsHash = sha256(Buffer.concat(coins.map(({ amountSats }) => u64(amountSats))));
  const scriptsHash = sha256(Buffer.concat(coins.map(({ script }) => withLength(script))));

  return {
    legacyOnce(index, scriptCode) {
      const inputs = outpoints.map((outpoint, at) =>
        Buffer.concat([outpoint, at === index ? withLength(scriptCode) : Buffer.of(0), sequences[at] ?? u32(0)]),
      );
      const counted = [varint(inputs.length), ...inputs, varint(tx.outs.length), outputs];
      return sha256(Buffer.concat([version, ...counted, locktime, u32(SIGHASH_ALL)]));
    },
    witnessV0Once(index, scriptCode, amountSats) {
      const own = [outpoints[index] ?? u32(0), withLength(scriptCode), u64(amountSats), sequences[index] ?? u32(0)];
      const shared = [version, sha256(prevoutsHash), sha256(sequencesHash)];
      return sha256(Buffer.concat([...shared, ...own, sha256(outputsHash), locktime, u32(SIGHASH_ALL)]));
    },
    taproot(index, hashType) {
      const shared = [prevoutsHash, amountsHash, scriptsHash, sequencesHash, outputsHash];
      // Epoch 0, then the message; spend type 0: key path, no annex.
      const message = [Buffer.of(0x00, hashType), version, locktime, ...shared, Buffer.of(0x00), u32(index)];
      return crypto.taggedHash('TapSighash', Buffer.concat(message));
    },
  };
}
