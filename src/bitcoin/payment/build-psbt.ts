import { crypto, Psbt, Transaction } from 'bitcoinjs-lib';
import type { PlannedInput, PlannedOutput, PlannedTransaction } from '../../domain/events/payout-events.js';
import { invariant } from '../../platform/assert.js';
import { deriveScript } from '../descriptors/derive-script.js';
import { NETWORK_PARAMETERS } from '../descriptors/network-parameters.js';
import type { Descriptor } from '../descriptors/parse-descriptor.js';
import type { NetworkName } from '../network.js';
import { keyOrigin } from './key-origin.js';
import { hashBytes } from './unsigned-transaction.js';

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
  const { transaction, network, previous } = options;
  const missing = transaction.inputs.filter(
    (input) => descriptorOf(options, input.derivation.branch).kind === 'pkh' && !previous.has(input.txid),
  );
  if (missing.length > 0) return { missing: [...new Set(missing.map(({ txid }) => txid))] };
  const psbt = new Psbt({ network: NETWORK_PARAMETERS[network] });
  psbt.setVersion(transaction.version);
  psbt.setLocktime(transaction.locktime);
  let welcomeBytes = 0;
  for (const input of transaction.inputs) {
    const { kind } = descriptorOf(options, input.derivation.branch);
    const parent = kind === 'tr' ? undefined : previous.get(input.txid);
    if (kind !== 'pkh') welcomeBytes += parent?.length ?? 0;
    const withParent = kind === 'pkh' || welcomeBytes <= MAX_WELCOME_PREVIOUS_BYTES;
    psbt.addInput({
      hash: input.txid,
      index: input.vout,
      sequence: input.sequence,
      ...coinFields(input, kind, withParent ? parent : undefined),
      ...keyFields(options, input.derivation, input.script),
    });
  }
  for (const output of transaction.outputs) {
    psbt.addOutput({
      script: Buffer.from(output.script, 'hex'),
      value: BigInt(output.amountSats),
      ...changeFields(options, output),
    });
  }
  return psbt.toBuffer();
}

function descriptorOf({ receive, change }: WalletDescriptors, branch: 0 | 1): Descriptor {
  const descriptor = branch === 0 ? receive : change;
  invariant(descriptor !== null, 'a wallet without a change descriptor has no coins and no outputs on that branch');
  return descriptor;
}

function coinFields(input: PlannedInput, kind: Descriptor['kind'], parent: Uint8Array | undefined) {
  const script = Buffer.from(input.script, 'hex');
  const value = BigInt(input.amountSats);
  if (parent !== undefined) assertMakes(parent, input, script, value);
  return {
    ...(parent === undefined ? {} : { nonWitnessUtxo: parent }),
    ...(kind === 'pkh' ? {} : { witnessUtxo: { script, value } }),
  };
}

/** What the log says of a coin, and the transaction that makes it, must agree before anybody is asked to sign for it. */
function assertMakes(parent: Uint8Array, input: PlannedInput, script: Uint8Array, value: bigint): void {
  const tx = Transaction.fromBuffer(parent);
  invariant(
    Buffer.compare(tx.getHash(), hashBytes(input.txid)) === 0,
    'a previous transaction has the txid it is kept by',
  );
  const output = tx.outs[input.vout];
  invariant(
    output?.value === value && Buffer.compare(output.script, script) === 0,
    'a coin is as its transaction makes it',
  );
}

/** Whose key it is, and what its script is made of, for inputs and for change alike. */
function keyFields(options: WalletDescriptors, derivation: { branch: 0 | 1; index: number }, scriptHex: string) {
  const descriptor = descriptorOf(options, derivation.branch);
  const { index } = derivation;
  const script = deriveScript(descriptor, index);
  invariant(Buffer.from(script).toString('hex') === scriptHex, 'a coin has the script of its derivation');
  const { publicKey } = descriptor.parent.derive(index);
  const origin = keyOrigin(descriptor, options.network);
  const where = { masterFingerprint: origin.masterFingerprint, path: `${origin.path}/${index}` };
  if (descriptor.kind === 'tr') {
    const tapInternalKey = publicKey.subarray(1, 33);
    return { tapInternalKey, tapBip32Derivation: [{ ...where, pubkey: tapInternalKey, leafHashes: [] }] };
  }
  const redeemScript = Uint8Array.from([0x00, 20, ...crypto.hash160(publicKey)]);
  return {
    bip32Derivation: [{ ...where, pubkey: publicKey }],
    ...(descriptor.kind === 'sh-wpkh' ? { redeemScript } : {}),
  };
}

function changeFields(options: WalletDescriptors, { changeIndex, script }: PlannedOutput) {
  return changeIndex === null ? {} : keyFields(options, { branch: 1, index: changeIndex }, script);
}
