import * as ecc from '@bitcoinerlab/secp256k1';
import { crypto, Transaction } from 'bitcoinjs-lib';
import type { PlannedInput, PlannedTransaction } from '../../domain/events/payout-events.js';
import { invariant } from '../../platform/assert.js';
import { derivePublicKeys } from '../descriptors/derive-script.js';
import type { Descriptor, ScriptKind } from '../descriptors/parse-descriptor.js';
import type { NetworkName } from '../network.js';
import { keyOrigin } from './key-origin.js';
import { kindOfScript } from './script-kind.js';
import { unsignedTransaction } from './unsigned-transaction.js';
import { isKeyOf, keyHashProgram } from './verify-signed-input.js';
import { writePsbt, type PsbtInput, type PsbtKey } from './write-psbt.js';

export interface WalletDescriptors {
  network: NetworkName;
  receive: Descriptor;
  /** Null where the wallet has none: then the plan may not have change. */
  change: Descriptor | null;
}

export interface BuildPsbtOptions extends WalletDescriptors {
  transaction: PlannedTransaction;
  /** Raw transactions that made the coins, by txid: needed for `pkh`, welcome for every other kind but `tr`. */
  previous: ReadonlyMap<string, Uint8Array>;
}

/**
 * Previous transactions that are only welcome are added up to this many bytes: 600 coins out of large batches would be tens of
 * megabytes, and signers on small devices take less.
 */
export const MAX_WELCOME_PREVIOUS_BYTES = 4 * 1024 * 1024;

/** What a `pkh` input needs is not there: its signature covers no amount, so a signer must see the transaction. */
export interface PreviousMissing {
  missing: string[];
}

/**
 * The PSBT (BIP174, version 0) that a signer is asked to sign, with all that it needs to check for itself: the coins, the
 * transactions that made them, where its keys are (BIP32, BIP371) and which outputs are change. The same plan and the same previous
 * transactions give the same bytes.
 */
export function buildPsbt(options: BuildPsbtOptions): Uint8Array | PreviousMissing {
  const { transaction, previous } = options;
  const missing = transaction.inputs.filter(
    (input) => descriptorOf(options, input.derivation.branch).kind === 'pkh' && !previous.has(input.txid),
  );
  if (missing.length > 0) return { missing: [...new Set(missing.map(({ txid }) => txid))] };
  const parents = createParents(previous);
  const publicKeys = publicKeysOf(options);
  let welcomeBytes = 0;
  const inputs = transaction.inputs.map((input): PsbtInput => {
    const { kind } = descriptorOf(options, input.derivation.branch);
    const coin = { script: Buffer.from(input.script, 'hex'), amountSats: BigInt(input.amountSats) };
    const parent = kind === 'tr' ? undefined : parents.of(input, coin);
    if (kind !== 'pkh') welcomeBytes += parent?.length ?? 0;
    const withParent = kind === 'pkh' || welcomeBytes <= MAX_WELCOME_PREVIOUS_BYTES;
    return {
      previousTransaction: withParent ? parent : undefined,
      coin: kind === 'pkh' ? undefined : coin,
      key: keyOf(options, publicKeys, input.derivation, coin.script),
    };
  });
  const outputKeys = transaction.outputs.map(({ changeIndex, script }) =>
    changeIndex === null
      ? undefined
      : keyOf(options, publicKeys, { branch: 1, index: changeIndex }, Buffer.from(script, 'hex')),
  );
  return writePsbt(unsignedTransaction(transaction).toBuffer(), inputs, outputKeys);
}

function descriptorOf({ receive, change }: WalletDescriptors, branch: 0 | 1): Descriptor {
  const descriptor = branch === 0 ? receive : change;
  invariant(descriptor !== null, 'a wallet without a change descriptor has no coins and no outputs on that branch');
  return descriptor;
}

type PublicKeys = Record<0 | 1, ReadonlyMap<number, Uint8Array>>;

/** All public keys of the payment, a branch at a time: one by one they would take most of the time of building it. */
function publicKeysOf(options: BuildPsbtOptions): PublicKeys {
  const { inputs, outputs } = options.transaction;
  const keysOf = (branch: 0 | 1, changeIndexes: readonly number[]): ReadonlyMap<number, Uint8Array> => {
    const used = inputs.flatMap(({ derivation }) => (derivation.branch === branch ? [derivation.index] : []));
    const indexes = [...new Set([...used, ...changeIndexes])];
    if (indexes.length === 0) return new Map();
    return derivePublicKeys(descriptorOf(options, branch), indexes);
  };
  const changeIndexes = outputs.flatMap(({ changeIndex }) => (changeIndex === null ? [] : [changeIndex]));
  return { 0: keysOf(0, []), 1: keysOf(1, changeIndexes) };
}

/** What the log says of a coin, and the transaction that makes it, must agree before anybody is asked to sign for it. */
function createParents(previous: ReadonlyMap<string, Uint8Array>) {
  /** Read once each: a batch may have made hundreds of our coins. */
  const parsed = new Map<string, Transaction>();
  return {
    of({ txid, vout }: PlannedInput, coin: { script: Uint8Array; amountSats: bigint }): Uint8Array | undefined {
      const raw = previous.get(txid);
      if (raw === undefined) return undefined;
      const tx = parsed.get(txid) ?? Transaction.fromBuffer(raw);
      if (!parsed.has(txid)) invariant(tx.getId() === txid, 'a previous transaction has the txid it is kept by');
      parsed.set(txid, tx);
      const output = tx.outs[vout];
      const isSame = output?.value === coin.amountSats && Buffer.compare(output.script, coin.script) === 0;
      invariant(isSame, 'a coin is as its transaction makes it');
      return raw;
    },
  };
}

/** Whose key it is, and what its script is made of, for inputs and for change alike. */
function keyOf(
  options: WalletDescriptors,
  publicKeys: PublicKeys,
  { branch, index }: { branch: 0 | 1; index: number },
  script: Uint8Array,
): PsbtKey {
  const descriptor = descriptorOf(options, branch);
  const publicKey = publicKeys[branch].get(index);
  invariant(publicKey !== undefined, 'the keys of all inputs and of all change were derived');
  invariant(makesScript(descriptor.kind, publicKey, script), 'a coin has the script of its derivation');
  const { masterFingerprint, path } = keyOrigin(descriptor, options.network);
  const redeemScript = descriptor.kind === 'sh-wpkh' ? keyHashProgram(crypto.hash160(publicKey)) : undefined;
  const taproot = descriptor.kind === 'tr';
  return { publicKey, masterFingerprint, path: [...path, index], taproot, redeemScript };
}

function makesScript(kind: ScriptKind, publicKey: Uint8Array, script: Uint8Array): boolean {
  if (kindOfScript(script) !== kind) return false;
  if (kind !== 'tr') return isKeyOf(kind, script, publicKey);
  const internalKey = publicKey.subarray(1, 33);
  // BIP86: tweaked by itself, without scripts.
  const tweaked = ecc.xOnlyPointAddTweak(internalKey, crypto.taggedHash('TapTweak', internalKey));
  return tweaked !== null && Buffer.compare(tweaked.xOnlyPubkey, script.subarray(2)) === 0;
}
