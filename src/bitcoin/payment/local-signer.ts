import * as ecc from '@bitcoinerlab/secp256k1';
import type { BIP32Interface } from 'bip32';
import { crypto, initEccLib, Psbt, script as scripts, Transaction } from 'bitcoinjs-lib';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { invariant } from '../../platform/assert.js';
import { NETWORK_PARAMETERS } from '../descriptors/network-parameters.js';
import { KeyFileError, type LocalKeys } from '../keys/local-keys.js';
import type { NetworkName } from '../network.js';
import { kindOfScript } from './script-kind.js';
import { SIGHASH_ALL, SIGHASH_DEFAULT, sighashesOf, type OwnCoin, type Sighashes } from './sighash.js';
import { keyHashScript } from './verify-signed-input.js';
import type { PsbtSigner, SignerAnswer, SigningRequest } from './signer.js';

initEccLib(ecc);

/** Signed in one go before other work of the process gets its turn: about 50 ms. */
const INPUTS_PER_TURN = 16;
/** Below the master key: purpose, coin, account, and some steps. Whoever asks for more asks for something else. */
const MAX_PATH_LEVELS = 20;
const HARDENED = 0x8000_0000;

export interface LocalSignerOptions {
  keys: Pick<LocalKeys, 'master'>;
  network: NetworkName;
  /** Auxiliary randomness of BIP340 signatures: against side channels; signatures are good and unique without. */
  randomBytes: (count: number) => Uint8Array;
}

/**
 * Signs with the keys that the ledger itself keeps, on regtest and signet. ECDSA nonces are those of RFC 6979: the same payment
 * has the same signatures every time.
 *
 * @throws KeyFileError on networks where coins are worth something
 */
export function createLocalSigner(options: LocalSignerOptions): PsbtSigner {
  const { network } = options;
  if (network !== 'regtest' && network !== 'signet') {
    throw new KeyFileError(`the ledger keeps no keys on ${network}: the signer there is none or http`);
  }
  return { name: 'local', sign: (request) => sign(options, request) };
}

async function sign(options: LocalSignerOptions, request: SigningRequest): Promise<SignerAnswer> {
  let master: BIP32Interface | undefined;
  try {
    master = await options.keys.master(request.walletId);
  } catch (error) {
    // A damaged or unreadable file is a person's business. Where it lies is nobody's who reads the payout.
    const why = error instanceof KeyFileError ? error.message : errorCodeOf(error);
    return { kind: 'unavailable', detail: `The key of wallet ${request.walletId} cannot be read: ${why}.` };
  }
  if (master === undefined) return { kind: 'refused', detail: `There is no key of wallet ${request.walletId} here.` };
  // Ours: it was built a moment ago in this process.
  const psbt = Psbt.fromBuffer(request.psbt, { network: NETWORK_PARAMETERS[options.network] });
  const tx = Transaction.fromBuffer(psbt.data.getTransaction());
  const coins = tx.ins.map(({ index: vout }, index) => coinOf(psbt.data.inputs[index], vout));
  const parts = { psbt, coins, sighashes: sighashesOf(tx, coins), keyring: createKeyring(master) };
  for (let index = 0; index < coins.length; index += 1) {
    if (index > 0 && index % INPUTS_PER_TURN === 0) await nextTurn();
    const refused = signInput(parts, index, options.randomBytes);
    if (refused !== undefined) return { kind: 'refused', detail: refused };
  }
  return { kind: 'signed', signed: psbt.toBuffer() };
}

/** What an input spends, as the PSBT tells it: the check that follows knows it from the log. */
function coinOf(input: PsbtInput | undefined, vout: number): OwnCoin {
  if (input?.witnessUtxo) return { script: input.witnessUtxo.script, amountSats: input.witnessUtxo.value };
  const output = input?.nonWitnessUtxo && Transaction.fromBuffer(input.nonWitnessUtxo).outs[vout];
  invariant(output, 'every input of our PSBTs comes with its coin');
  return { script: output.script, amountSats: output.value };
}

/** @throws what is no error of the file system */
function errorCodeOf(error: unknown): string {
  const code = error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined;
  if (code === undefined) throw error;
  return code;
}

type PsbtInput = Psbt['data']['inputs'][number];

interface SigningParts {
  psbt: Psbt;
  coins: readonly OwnCoin[];
  sighashes: Sighashes;
  keyring: Keyring;
}

/**
 * Digests are ours, where the library makes those of all inputs anew for each. That the key belongs to the coin is not computed here, at the
 * price of another signature: the check of what comes back finds it.
 */
function signInput(
  { psbt, coins, sighashes, keyring }: SigningParts,
  index: number,
  randomBytes: (count: number) => Uint8Array,
): string | undefined {
  const input = psbt.data.inputs[index];
  const coin = coins[index];
  const [where] = input?.tapBip32Derivation ?? input?.bip32Derivation ?? [];
  const key = where && keyring.keyAt(where);
  if (!coin || !where || !key?.privateKey) return `Input ${index} names no key of this wallet.`;
  const kind = kindOfScript(coin.script);
  if (kind === 'tr') {
    const privateKey = taprootKey(key);
    invariant(privateKey, 'a taproot tweak has a key');
    const tapKeySig = ecc.signSchnorr(sighashes.taproot(index, SIGHASH_DEFAULT), privateKey, randomBytes(32));
    psbt.updateInput(index, { tapKeySig });
    return undefined;
  }
  const scriptCode = keyHashScript(crypto.hash160(where.pubkey));
  const once =
    kind === 'pkh'
      ? sighashes.legacyOnce(index, scriptCode)
      : sighashes.witnessV0Once(index, scriptCode, coin.amountSats);
  const signature = scripts.signature.encode(ecc.sign(crypto.sha256(once), key.privateKey), SIGHASH_ALL);
  psbt.updateInput(index, { partialSig: [{ pubkey: where.pubkey, signature }] });
  return undefined;
}

/** BIP341: of the two keys with this x the one with an even y, tweaked; BIP86: by the key itself, there are no scripts. */
function taprootKey({ privateKey, publicKey }: BIP32Interface): Uint8Array | undefined {
  if (!privateKey) return undefined;
  const even = publicKey[0] === 0x02 ? privateKey : ecc.privateNegate(privateKey);
  return ecc.privateAdd(even, crypto.taggedHash('TapTweak', publicKey.subarray(1, 33))) ?? undefined;
}

interface Keyring {
  /** Undefined where origin or path is none of this master key. */
  keyAt(where: { masterFingerprint: Uint8Array; path: string }): BIP32Interface | undefined;
}

/**
 * Keys by origin and path. A descriptor without an origin is told by the fingerprint of its extended key, so the accounts that the
 * ledger makes are known by theirs as well. Every node on the way is kept: each costs a point multiplication.
 */
function createKeyring(master: BIP32Interface): Keyring {
  const nodes = new Map<string, BIP32Interface | undefined>();
  const known = (name: string, make: () => BIP32Interface | undefined): BIP32Interface | undefined => {
    if (!nodes.has(name)) nodes.set(name, make());
    return nodes.get(name);
  };
  return {
    keyAt({ masterFingerprint, path }) {
      const steps = stepsOf(path);
      const last = steps?.pop();
      if (!steps || last === undefined) return undefined;
      let name = Buffer.from(masterFingerprint).toString('hex');
      let node = known(name, () => rootOf(master, masterFingerprint));
      // Only the last step is another one for each coin.
      for (const step of steps) {
        const parent = node;
        name = `${name}/${step}`;
        node = known(name, () => parent?.derive(step));
      }
      return node?.derive(last);
    },
  };
}

function rootOf(master: BIP32Interface, fingerprint: Uint8Array): BIP32Interface | undefined {
  const isIt = (node: BIP32Interface): boolean => Buffer.compare(node.fingerprint, fingerprint) === 0;
  if (isIt(master)) return master;
  return [44, 49, 84, 86]
    .map((purpose) => master.deriveHardened(purpose).deriveHardened(1).deriveHardened(0))
    .find(isIt);
}

function stepsOf(path: string): number[] | undefined {
  if (!/^m(\/\d{1,10}'?)+$/.test(path)) return undefined;
  const steps = path
    .split('/')
    .slice(1)
    .map((step) => Number.parseInt(step, 10) + (step.endsWith("'") ? HARDENED : 0));
  const isValid = steps.length <= MAX_PATH_LEVELS && steps.every((step) => step <= 0xffff_ffff);
  return isValid ? steps : undefined;
}
