/** What a signer has to do with a PSBT, as a small library for the examples: look at it, and sign it with a BIP32 key. */
import * as ecc from '@bitcoinerlab/secp256k1';
import { BIP32Factory } from 'bip32';
import { address, crypto, initEccLib, networks, payments, Psbt, Transaction } from 'bitcoinjs-lib';
import { ECPairFactory } from 'ecpair';

initEccLib(ecc);
const bip32 = BIP32Factory(ecc);
const ecpair = ECPairFactory(ecc);
const NETWORKS = {
  regtest: networks.regtest,
  signet: networks.testnet,
  testnet4: networks.testnet,
  mainnet: networks.bitcoin,
};

/** @param text BIP32 extended private key of the signer: the master key whose fingerprint stands in the descriptor */
export function readKey(text, network) {
  return bip32.fromBase58(text, NETWORKS[network]);
}

/** @param seed 32 random bytes: whoever has them has the coins */
export function makeKey(seed, network) {
  return bip32.fromSeed(seed, NETWORKS[network]);
}

const PURPOSES = { pkh: 44, 'sh-wpkh': 49, wpkh: 84, tr: 86 };

/** The public descriptor of account 0, addresses and change (BIP44, BIP49, BIP84, BIP86; BIP389 for both in one). */
export function accountDescriptor(key, kind, network) {
  const purpose = PURPOSES[kind];
  if (purpose === undefined) throw new Error(`${kind} is none of ${Object.keys(PURPOSES).join(', ')}`);
  const path = `${purpose}'/${network === 'mainnet' ? 0 : 1}'/0'`;
  const account = key.derivePath(`m/${path}`).neutered().toBase58();
  const expression = `[${Buffer.from(key.fingerprint).toString('hex')}/${path}]${account}/<0;1>/*`;
  return kind === 'sh-wpkh' ? `sh(wpkh(${expression}))` : `${kind}(${expression})`;
}

/**
 * What the payment does, worked out from the PSBT by this signer alone: an output is change only if it is derived from this signer's own key, and
 * an input is worth what the transaction says that made it.
 */
export function describe(base64, key, network) {
  const psbt = Psbt.fromBase64(base64, { network: NETWORKS[network] });
  const inputSats = psbt.data.inputs.reduce((sum, input, index) => sum + inputValue(psbt, input, index), 0n);
  const outputs = psbt.txOutputs.map(({ script, value }, index) => ({
    address: address.fromOutputScript(script, NETWORKS[network]),
    amountSats: value,
    isChange: scriptsOf(psbt.data.outputs[index], key).some((own) => Buffer.from(own).equals(Buffer.from(script))),
  }));
  return { outputs, feeSats: inputSats - outputs.reduce((sum, { amountSats }) => sum + amountSats, 0n) };
}

/** Signs every input that the PSBT says is this key's. */
export function sign(base64, key, network) {
  const psbt = Psbt.fromBase64(base64, { network: NETWORKS[network] });
  for (const [index, input] of psbt.data.inputs.entries()) {
    const taproot = ownDerivation(input.tapBip32Derivation, key);
    if (taproot === undefined) {
      psbt.signInputHD(index, key);
      continue;
    }
    // BIP341: the key of the output is the internal key, tweaked.
    const child = key.derivePath(taproot.path);
    psbt.signInput(
      index,
      ecpair.fromPrivateKey(child.privateKey).tweak(crypto.taggedHash('TapTweak', child.publicKey.subarray(1))),
    );
  }
  return psbt.toBase64();
}

function inputValue(psbt, input, index) {
  const { hash, index: vout } = psbt.txInputs[index];
  if (input.nonWitnessUtxo === undefined) return input.witnessUtxo.value;
  const previous = Transaction.fromBuffer(input.nonWitnessUtxo);
  if (!Buffer.from(previous.getHash()).equals(Buffer.from(hash)))
    throw new Error(`input ${index}: not the transaction that it spends`);
  return previous.outs[vout].value;
}

function ownDerivation(derivations, key) {
  return derivations?.find(({ masterFingerprint }) =>
    Buffer.from(masterFingerprint).equals(Buffer.from(key.fingerprint)),
  );
}

/** The scripts that this signer's key makes at the path that the PSBT names for an output; none where it names none of ours. */
function scriptsOf(output, key) {
  const derivation = ownDerivation(output.bip32Derivation, key) ?? ownDerivation(output.tapBip32Derivation, key);
  if (derivation === undefined) return [];
  const pubkey = key.derivePath(derivation.path).publicKey;
  const wpkh = payments.p2wpkh({ pubkey });
  return [
    payments.p2pkh({ pubkey }).output,
    wpkh.output,
    payments.p2sh({ redeem: wpkh }).output,
    payments.p2tr({ internalPubkey: pubkey.subarray(1) }).output,
  ];
}
