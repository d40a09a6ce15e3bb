import * as ecc from '@bitcoinerlab/secp256k1';
import { BIP32Factory } from 'bip32';
import { crypto, initEccLib, networks, Psbt, toXOnly } from 'bitcoinjs-lib';
import type { ScriptKind } from '../../src/bitcoin/descriptors/parse-descriptor.js';

initEccLib(ecc);

/** BIP44, BIP49, BIP84, BIP86. */
const ACCOUNTS: Readonly<Record<ScriptKind, { purpose: number; wrap: (key: string) => string }>> = {
  pkh: { purpose: 44, wrap: (key) => `pkh(${key})` },
  'sh-wpkh': { purpose: 49, wrap: (key) => `sh(wpkh(${key}))` },
  wpkh: { purpose: 84, wrap: (key) => `wpkh(${key})` },
  tr: { purpose: 86, wrap: (key) => `tr(${key})` },
};

export interface IndependentSigner {
  /** What the ledger is told: public keys only. */
  descriptor: string;
  /** Signs every input that the PSBT says is of our key. Base64 in, base64 out, not finalized. */
  sign(psbtBase64: string): string;
  /** What somebody with a copy of the keys would do with the coins of a PSBT: all to this address, as a raw transaction in hex. */
  spendElsewhere(psbtBase64: string, address: string): string;
}

const THIEFS_FEE_SATS = 5_000n;

/**
 * A wallet with keys of its own, as a hardware wallet is one: it believes what the PSBT says of derivation paths and coins, and signs with
 * bitcoinjs-lib. It shares no code with the ledger's signers and PSBTs.
 */
export function createIndependentSigner(kind: ScriptKind, seedByte: number): IndependentSigner {
  const master = BIP32Factory(ecc).fromSeed(Buffer.alloc(32, seedByte), networks.regtest);
  const { purpose, wrap } = ACCOUNTS[kind];
  const account = master.derivePath(`m/${purpose}'/1'/0'`).neutered().toBase58();
  const origin = `${Buffer.from(master.fingerprint).toString('hex')}/${purpose}'/1'/0'`;
  function signAll(psbt: Psbt): void {
    psbt.data.inputs.forEach(({ bip32Derivation, tapBip32Derivation }, index) => {
      const [derivation] = tapBip32Derivation ?? bip32Derivation ?? [];
      if (derivation === undefined) throw new Error(`the PSBT does not say whose input ${index} is`);
      const key = master.derivePath(derivation.path);
      const isTaproot = tapBip32Derivation !== undefined;
      psbt.signInput(index, isTaproot ? key.tweak(crypto.taggedHash('TapTweak', toXOnly(key.publicKey))) : key);
    });
  }
  return {
    descriptor: wrap(`[${origin}]${account}/<0;1>/*`),
    sign: (psbtBase64) => {
      const psbt = Psbt.fromBase64(psbtBase64, { network: networks.regtest });
      signAll(psbt);
      return psbt.toBase64();
    },
    spendElsewhere: (psbtBase64, address) => {
      const asked = Psbt.fromBase64(psbtBase64, { network: networks.regtest });
      const psbt = new Psbt({ network: networks.regtest });
      asked.data.inputs.forEach((input, index) => {
        const { hash, index: vout } = asked.txInputs[index] ?? { hash: '', index: 0 };
        psbt.addInput({ ...input, hash, index: vout });
      });
      const value = asked.data.inputs.reduce((sum, { witnessUtxo }) => sum + (witnessUtxo?.value ?? 0n), 0n);
      psbt.addOutput({ address, value: value - THIEFS_FEE_SATS });
      signAll(psbt);
      return psbt.finalizeAllInputs().extractTransaction(true).toHex();
    },
  };
}
