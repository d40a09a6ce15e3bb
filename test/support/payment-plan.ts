import * as ecc from '@bitcoinerlab/secp256k1';
import { BIP32Factory, type BIP32Interface } from 'bip32';
import { networks, Transaction } from 'bitcoinjs-lib';
import { buildPsbt } from '../../src/bitcoin/payment/build-psbt.js';
import { createLocalSigner } from '../../src/bitcoin/payment/local-signer.js';
import { unsignedTransaction } from '../../src/bitcoin/payment/unsigned-transaction.js';
import { deriveScript } from '../../src/bitcoin/descriptors/derive-script.js';
import { parseDescriptor, type Descriptor, type ScriptKind } from '../../src/bitcoin/descriptors/parse-descriptor.js';
import type { PlannedInput, PlannedOutput, PlannedTransaction } from '../../src/domain/events/payout-events.js';

export const SCRIPT_KINDS: readonly ScriptKind[] = ['pkh', 'sh-wpkh', 'wpkh', 'tr'];

/** Weight of an input with the longest signature that is standard. */
const INPUT_WEIGHTS: Readonly<Record<ScriptKind, number>> = {
  pkh: 4 * (41 + 107),
  'sh-wpkh': 4 * (41 + 23) + 109,
  wpkh: 4 * 41 + 109,
  tr: 4 * 41 + 67,
};

/** An account of each kind, each at its own BIP's place: 44, 49, 84, 86. */
const DESCRIPTORS: Readonly<Record<ScriptKind, { purpose: number; wrap: (key: string) => string }>> = {
  pkh: { purpose: 44, wrap: (key) => `pkh(${key})` },
  'sh-wpkh': { purpose: 49, wrap: (key) => `sh(wpkh(${key}))` },
  wpkh: { purpose: 84, wrap: (key) => `wpkh(${key})` },
  tr: { purpose: 86, wrap: (key) => `tr(${key})` },
};

export interface TestPayer {
  /** With `<0;1>` and its key's origin. */
  descriptor: string;
  receive: Descriptor;
  change: Descriptor;
  sign(psbt: Uint8Array): Promise<Uint8Array>;
  script(branch: 0 | 1, index: number): string;
  /** The private key, not tweaked for taproot. */
  keyAt(branch: 0 | 1, index: number): BIP32Interface;
}

/** A wallet of one kind whose keys the local signer has. */
export function createTestPayer(kind: ScriptKind, seedByte = 7): TestPayer {
  const master = BIP32Factory(ecc).fromSeed(Buffer.alloc(32, seedByte), networks.regtest);
  const { purpose, wrap } = DESCRIPTORS[kind];
  const account = master.derivePath(`m/${purpose}'/1'/0'`).neutered().toBase58();
  const origin = `${Buffer.from(master.fingerprint).toString('hex')}/${purpose}'/1'/0'`;
  const descriptor = wrap(`[${origin}]${account}/<0;1>/*`);
  const parsed = parseDescriptor(descriptor, 'regtest');
  if ('invalid' in parsed || !parsed.change) throw new Error('the descriptor of a test key is valid');
  const { receive, change } = parsed;
  const signer = createLocalSigner({
    keys: { master: () => Promise.resolve(master) },
    network: 'regtest',
    randomBytes: (count) => Buffer.alloc(count, 3),
  });
  return {
    descriptor,
    receive,
    change,
    async sign(psbt) {
      const answer = await signer.sign({ payoutId: 'p', walletId: 'w', psbt });
      if (answer.kind !== 'signed' || typeof answer.signed === 'string') throw new Error(JSON.stringify(answer));
      return answer.signed;
    },
    keyAt: (branch, index) => master.derivePath(`m/${purpose}'/1'/0'/${branch}/${index}`),
    script: (branch, index) => Buffer.from(deriveScript(branch === 0 ? receive : change, index)).toString('hex'),
  };
}

/** A wallet whose change is of another kind than what it takes in: then its payments mix both. */
export function createMixedPayer(receive: ScriptKind, change: ScriptKind): TestPayer {
  const [first, second] = [createTestPayer(receive), createTestPayer(change)];
  return {
    ...first,
    change: second.change,
    keyAt: (branch, index) => (branch === 0 ? first : second).keyAt(branch, index),
    script: (branch, index) => (branch === 0 ? first : second).script(branch, index),
  };
}

export interface PlanParts {
  inputs: readonly {
    txid: string;
    vout: number;
    amountSats: bigint;
    index: number;
    branch?: 0 | 1;
    blockHash?: string;
  }[];
  outputs: readonly { script: string; amountSats: bigint }[];
  /** Change on branch 1 of this index. */
  change?: { index: number; amountSats: bigint };
  sequence?: number;
  locktime?: number;
}

/** A plan as the planner makes it, without choosing anything. */
export function planOf(payer: Omit<TestPayer, 'sign' | 'keyAt'>, parts: PlanParts): PlannedTransaction {
  const inputs = parts.inputs.map(({ txid, vout, amountSats, index, branch = 0, blockHash }): PlannedInput => {
    return {
      txid,
      vout,
      amountSats: String(amountSats),
      script: payer.script(branch, index),
      derivation: { branch, index },
      sequence: parts.sequence ?? 0xfffffffd,
      blockHash: blockHash ?? null,
    };
  });
  const outputs = parts.outputs.map(({ script, amountSats }, n): PlannedOutput => {
    return { script, amountSats: String(amountSats), withdrawalId: `w${n}`, changeIndex: null };
  });
  if (parts.change) {
    const { index, amountSats } = parts.change;
    const script = payer.script(1, index);
    outputs.push({ script, amountSats: String(amountSats), withdrawalId: null, changeIndex: index });
  }
  const sum = (items: readonly { amountSats: string }[]) =>
    items.reduce((sats, item) => sats + BigInt(item.amountSats), 0n);
  const plan: PlannedTransaction = {
    version: 2,
    locktime: parts.locktime ?? 0,
    inputs,
    outputs,
    feeSats: String(sum(inputs) - sum(outputs)),
    weight: 1,
    feeRateSatsPerKvb: '1000',
    txid: null,
  };
  const kinds = inputs.map(({ derivation }) => (derivation.branch === 0 ? payer.receive : payer.change).kind);
  const unsigned = unsignedTransaction(plan);
  const bare = unsigned.weight() - 4 * 41 * inputs.length;
  // Marker and flag, and an empty witness for each input that has none among others.
  const witness = kinds.some((kind) => kind !== 'pkh') ? 2 + kinds.filter((kind) => kind === 'pkh').length : 0;
  return { ...plan, weight: kinds.reduce((weight, kind) => weight + INPUT_WEIGHTS[kind], bare + witness) };
}

/** A transaction that pays these scripts out of nowhere, for coins that need one. */
export function fundingTransaction(outputs: readonly { script: string; amountSats: bigint }[], salt = 1): Transaction {
  const tx = new Transaction();
  tx.version = 2;
  tx.addInput(Buffer.alloc(32, salt), 0);
  for (const { script, amountSats } of outputs) tx.addOutput(Buffer.from(script, 'hex'), amountSats);
  return tx;
}

/** The PSBT of a plan; fails the test where a previous transaction is missing. */
export function psbtOf(
  payer: Pick<TestPayer, 'receive' | 'change'>,
  plan: PlannedTransaction,
  previous: readonly Transaction[] = [],
): Uint8Array {
  const byTxid = new Map(previous.map((tx) => [tx.getId(), tx.toBuffer()]));
  const psbt = buildPsbt({ ...payer, network: 'regtest', transaction: plan, previous: byTxid });
  if ('missing' in psbt) throw new Error(`no previous transaction ${psbt.missing.join(', ')}`);
  return psbt;
}

/** Two coins of the payer, each enough for all of it, and a payment of both, with change; and the transaction that made them. */
export function smallPlan(payer: Omit<TestPayer, 'sign' | 'keyAt'>): {
  plan: PlannedTransaction;
  previous: Transaction[];
} {
  const coins = [0, 1].map((index) => ({ script: payer.script(0, index), amountSats: 300_000n + BigInt(index) }));
  const funding = fundingTransaction(coins);
  const plan = planOf(payer, {
    inputs: coins.map(({ amountSats }, index) => ({ txid: funding.getId(), vout: index, amountSats, index })),
    outputs: [
      { script: `0014${'ab'.repeat(20)}`, amountSats: 60_000n },
      { script: `5120${'cd'.repeat(32)}`, amountSats: 70_000n },
    ],
    change: { index: 3, amountSats: 65_000n },
    locktime: 500,
  });
  return { plan, previous: [funding] };
}
