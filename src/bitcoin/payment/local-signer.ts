import * as ecc from '@bitcoinerlab/secp256k1';
import type { BIP32Interface } from 'bip32';
import { crypto, initEccLib, Psbt } from 'bitcoinjs-lib';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { NETWORK_PARAMETERS } from '../descriptors/network-parameters.js';
import { KeyFileError, type LocalKeys } from '../keys/local-keys.js';
import type { NetworkName } from '../network.js';
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
  const keyring = createKeyring(master);
  for (let index = 0; index < psbt.inputCount; index += 1) {
    if (index > 0 && index % INPUTS_PER_TURN === 0) await nextTurn();
    const refused = signInput(psbt, index, keyring, options.randomBytes);
    if (refused !== undefined) return { kind: 'refused', detail: refused };
  }
  return { kind: 'signed', signed: psbt.toBuffer() };
}

/** @throws what is no error of the file system */
function errorCodeOf(error: unknown): string {
  const code = error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined;
  if (code === undefined) throw error;
  return code;
}

function signInput(
  psbt: Psbt,
  index: number,
  keyring: Keyring,
  randomBytes: (count: number) => Uint8Array,
): string | undefined {
  const input = psbt.data.inputs[index];
  const [taproot] = input?.tapBip32Derivation ?? [];
  const [plain] = input?.bip32Derivation ?? [];
  const where = taproot ?? plain;
  const key = where && keyring.keyAt(where);
  if (!where || !key) return `Input ${index} names no key of this wallet.`;
  const publicKey = taproot ? key.publicKey.subarray(1, 33) : key.publicKey;
  if (Buffer.compare(publicKey, where.pubkey) !== 0) return `Input ${index} names another key than its path leads to.`;
  if (!taproot) {
    psbt.signInput(index, key);
    return undefined;
  }
  const privateKey = taprootKey(key);
  const tweakedKey = privateKey && ecc.pointFromScalar(privateKey, true);
  if (!privateKey || !tweakedKey) return `Input ${index} has no private key here.`;
  psbt.signInput(index, {
    publicKey: Buffer.from(tweakedKey),
    sign: (hash) => ecc.sign(hash, privateKey),
    signSchnorr: (hash) => ecc.signSchnorr(hash, privateKey, randomBytes(32)),
  });
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
 * ledger makes are known by theirs as well. Every node on the way is kept: deriving from it costs a point multiplication.
 */
function createKeyring(master: BIP32Interface): Keyring {
  const accounts = [44, 49, 84, 86].map((purpose) =>
    master.deriveHardened(purpose).deriveHardened(1).deriveHardened(0),
  );
  const nodes = new Map<string, BIP32Interface>();
  const descend = (parent: BIP32Interface, name: string, step: number): BIP32Interface => {
    const path = `${name}/${step}`;
    const known = nodes.get(path);
    if (known) return known;
    const made = parent.derive(step);
    nodes.set(path, made);
    return made;
  };
  return {
    keyAt({ masterFingerprint, path }) {
      const steps = stepsOf(path);
      const root = [master, ...accounts].find(
        ({ fingerprint }) => Buffer.compare(fingerprint, masterFingerprint) === 0,
      );
      if (!root || !steps) return undefined;
      // Only the last step is another one for each coin.
      let node = root;
      let name = Buffer.from(masterFingerprint).toString('hex');
      for (const step of steps.slice(0, -1)) {
        node = descend(node, name, step);
        name = `${name}/${step}`;
      }
      const last = steps.at(-1);
      return last === undefined ? undefined : node.derive(last);
    },
  };
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
