import * as ecc from '@bitcoinerlab/secp256k1';
import { checksum } from '@bitcoinerlab/descriptors';
import { BIP32Factory, type BIP32Interface } from 'bip32';
import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { link, mkdir, open, readFile, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { FatalError } from '../../platform/errors.js';
import { NETWORK_PARAMETERS } from '../descriptors/network-parameters.js';
import type { NetworkName } from '../network.js';

const SEED_BYTES = 32;
const bip32 = BIP32Factory(ecc);

const keyFileSchema = z.strictObject({
  version: z.literal(1),
  walletId: z.string(),
  network: z.enum(['regtest', 'signet']),
  /** Seed of the BIP32 master key, in hex. */
  seed: z.string().regex(/^[0-9a-f]{64}$/),
});

export interface LocalKey {
  /** BIP84, both branches: `wpkh([fingerprint/84'/1'/0']tpub…/<0;1>/*)` with checksum. Public. */
  descriptor: string;
  /** The account's extended public key, without origin and path. */
  accountKey: string;
}

/** A key file that is damaged or belongs to something else: nothing of it is used or written over. */
export class KeyFileError extends FatalError {}

/** Keys of wallets with signer `local`, one file each, readable by the owner of the process alone. */
export interface LocalKeys {
  /** The wallet's key, made now if it has none. However often and at once it is called, the wallet gets one key. */
  ensure(walletId: string): Promise<LocalKey>;
  /** The wallet's private master key, for the signer of this process alone; undefined where the wallet has none here. */
  master(walletId: string): Promise<BIP32Interface | undefined>;
}

export interface LocalKeysOptions {
  /** `DATA_DIR/keys`; made with mode 0700. */
  directory: string;
  network: NetworkName;
  randomBytes: (count: number) => Uint8Array;
}

export function createLocalKeys(options: LocalKeysOptions): LocalKeys {
  return {
    ensure: (walletId) => ensureKey(options, walletId),
    async master(walletId) {
      const path = join(options.directory, keyFileName(walletId));
      const file = await readKeyFile(path, walletId, networkOfKeys(options));
      return file && masterOf(file);
    },
  };
}

function networkOfKeys({ network }: LocalKeysOptions): 'regtest' | 'signet' {
  if (network !== 'regtest' && network !== 'signet') {
    throw new KeyFileError(`keys are not kept here on ${network}`);
  }
  return network;
}

async function ensureKey(options: LocalKeysOptions, walletId: string): Promise<LocalKey> {
  const { directory } = options;
  const network = networkOfKeys(options);
  const path = join(directory, keyFileName(walletId));
  const there = await readKeyFile(path, walletId, network);
  if (there !== undefined) return localKeyOf(there);
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const seed = Buffer.from(options.randomBytes(SEED_BYTES)).toString('hex');
  await publishFile(directory, path, JSON.stringify({ version: 1, walletId, network, seed }), options.randomBytes);
  // Read back: if somebody else was faster, theirs is the key.
  const written = await readKeyFile(path, walletId, network);
  if (written === undefined) throw new KeyFileError(`key file of wallet ${walletId} vanished while it was made`);
  return localKeyOf(written);
}

/**
 * Puts the file in place whole or not at all, and never over another one: a new file, synced, gets the name by `link`, which
 * fails where the name is taken (`rename` would replace the key that was there). The folder is synced, so that the name
 * survives a power cut before the wallet's descriptor is an event.
 */
async function publishFile(
  directory: string,
  path: string,
  content: string,
  randomBytes: (count: number) => Uint8Array,
): Promise<void> {
  const temporary = `${path}.${Buffer.from(randomBytes(8)).toString('hex')}.tmp`;
  const file = await open(temporary, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o600);
  try {
    await file.writeFile(content);
    await file.sync();
  } finally {
    await file.close();
  }
  try {
    await link(temporary, path);
  } catch (error) {
    if (!hasCode(error, 'EEXIST')) throw error;
  } finally {
    await unlink(temporary);
  }
  const folder = await open(directory, constants.O_RDONLY);
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** Ids hold ':' and '.', and may differ by case alone, which some file systems do not tell apart: the name carries a hash. */
export function keyFileName(walletId: string): string {
  const readable = walletId.replace(/[^A-Za-z0-9_-]/g, '_');
  return `${readable}-${createHash('sha256').update(walletId).digest('hex').slice(0, 16)}.json`;
}

async function readKeyFile(
  path: string,
  walletId: string,
  network: 'regtest' | 'signet',
): Promise<{ seed: string } | undefined> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined;
    throw error;
  }
  const parsed = keyFileSchema.safeParse(parseJson(text));
  // The reasons are ours: an error of the parser would repeat the content.
  if (!parsed.success) throw new KeyFileError(`key file of wallet ${walletId} is damaged`);
  if (parsed.data.walletId !== walletId || parsed.data.network !== network) {
    throw new KeyFileError(`key file of wallet ${walletId} belongs to another wallet or network`);
  }
  return { seed: parsed.data.seed };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Not JSON is not the schema either; the caller says so without the content.
    return undefined;
  }
}

/** Both networks have testnet's prefixes for keys. */
function masterOf(file: { seed: string }): BIP32Interface {
  return bip32.fromSeed(Buffer.from(file.seed, 'hex'), NETWORK_PARAMETERS.regtest);
}

/** BIP84 account 0 with the coin type of test networks (SLIP44: 1). */
function localKeyOf(file: { seed: string }): LocalKey {
  const master = masterOf(file);
  const account = master.deriveHardened(84).deriveHardened(1).deriveHardened(0).neutered().toBase58();
  const fingerprint = Buffer.from(master.fingerprint).toString('hex');
  const body = `wpkh([${fingerprint}/84'/1'/0']${account}/<0;1>/*)`;
  return { descriptor: `${body}#${checksum(body)}`, accountKey: account };
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && (error as NodeJS.ErrnoException).code === code;
}
