import { crypto, Psbt, script as scripts, Transaction } from 'bitcoinjs-lib';
import { describe, expect, it } from 'vitest';
import {
  createTestPayer,
  fundingTransaction,
  psbtOf,
  SCRIPT_KINDS,
  smallPlan,
  type TestPayer,
} from '../../../test/support/payment-plan.js';
import { rawOf, signWith, withHighS } from '../../../test/support/psbt-forgery.js';
import type { PlannedTransaction } from '../../domain/events/payout-events.js';
import { SIGHASH_ALL, SIGHASH_DEFAULT, sighashesOf } from './sighash.js';
import { finalForm, keyHashScript } from './verify-signed-input.js';
import { plannedFee } from './unsigned-transaction.js';
import { buildPsbt } from './build-psbt.js';
import { checkSigned, MAX_SIGNED_BYTES, type CheckedSigned } from './check-signed.js';

const first = <T>(items: readonly T[]): T => {
  const [item] = items;
  if (item === undefined) throw new Error('there is none');
  return item;
};

const namesOf = (checked: CheckedSigned): unknown =>
  checked.kind === 'mismatch' ? [...new Set(checked.mismatches.map(({ field }) => field))] : checked;

/** Ways in which a payment could be another one, and what the refusal calls them. */
const OTHER_PAYMENTS: readonly (readonly [string, string, (plan: PlannedTransaction) => void])[] = [
  ['version', 'version', (plan) => (plan.version = 1)],
  ['lock time', 'locktime', (plan) => (plan.locktime += 1)],
  ['sequence', 'sequence', (plan) => (first(plan.inputs).sequence -= 1)],
  ['order of inputs', 'input-order', (plan) => plan.inputs.reverse()],
  ['order of outputs', 'output-order', (plan) => plan.outputs.reverse()],
  ['amount', 'amount', (plan) => (first(plan.outputs).amountSats = '60001')],
  ['recipient', 'script', (plan) => (first(plan.outputs).script = `0014${'99'.repeat(20)}`)],
  ['coins: one less', 'inputs', (plan) => plan.inputs.pop()],
  ['outputs: one less', 'outputs', (plan) => plan.outputs.pop()],
  ['outputs: one more', 'outputs', (plan) => plan.outputs.push({ ...first(plan.outputs), amountSats: '1000' })],
];

describe.each(SCRIPT_KINDS)('what comes back signed for %s', (kind) => {
  const payer: TestPayer = createTestPayer(kind);
  const { plan, previous } = smallPlan(payer);
  const unsigned = psbtOf(payer, plan, previous);
  const signPlan = (other: PlannedTransaction, parents = previous) => payer.sign(psbtOf(payer, other, parents));

  it.each(OTHER_PAYMENTS)('is refused and named when it has another %s', async (_, field, change) => {
    const other = structuredClone(plan);
    change(other);
    other.feeSats = String(plannedFee(other));
    other.weight += 1_000;
    const signed = await signPlan(other);
    // Signed well, but not what was asked.
    expect(checkSigned(signed, other).kind).toBe('complete');
    expect(namesOf(checkSigned(signed, plan))).toEqual([field]);
    expect(namesOf(checkSigned(rawOf(signed).toHex(), plan))).toEqual([field]);
    const signatures = Psbt.fromBuffer(Buffer.from(signed)).data.inputs;
    if (signatures.length !== plan.inputs.length) return;
    // The right transaction with signatures of the other one. Without the lock of their inputs they would be good for both.
    const forged = Psbt.fromBuffer(Buffer.from(unsigned));
    for (const [index, { partialSig, tapKeySig }] of signatures.entries()) {
      forged.updateInput(index, { ...(partialSig ? { partialSig } : {}), ...(tapKeySig ? { tapKeySig } : {}) });
    }
    expect(namesOf(checkSigned(forged.toBuffer(), plan))).toEqual(['signature']);
  });

  it('is refused when it spends another coin of the same key', async () => {
    const coins = plan.inputs.map(({ script, amountSats }) => ({ script, amountSats: BigInt(amountSats) }));
    const twin = fundingTransaction(coins, 2);
    const other = structuredClone(plan);
    for (const input of other.inputs) input.txid = twin.getId();
    const signed = await signPlan(other, [twin]);
    expect(namesOf(checkSigned(signed, plan))).toEqual(['inputs']);
  });

  it('is incomplete, not wrong, while signatures are missing', async () => {
    expect(checkSigned(unsigned, plan)).toEqual({ kind: 'incomplete', inputs: [0, 1] });
    const half = Psbt.fromBuffer(Buffer.from(await payer.sign(unsigned)));
    const [, second] = half.data.inputs;
    if (second) {
      delete second.partialSig;
      delete second.tapKeySig;
    }
    expect(checkSigned(half.toBase64(), plan)).toEqual({ kind: 'incomplete', inputs: [1] });
    const raw = rawOf(await payer.sign(unsigned));
    raw.setInputScript(0, new Uint8Array());
    raw.setWitness(0, []);
    expect(checkSigned(raw.toHex(), plan)).toEqual({ kind: 'incomplete', inputs: [0] });
  });

  it.each([
    ['NONE', 0x02],
    ['SINGLE', 0x03],
    ['ALL and ANYONECANPAY', 0x81],
    ['NONE and ANYONECANPAY', 0x82],
    ['SINGLE and ANYONECANPAY', 0x83],
  ])('is refused when its signatures cover less: hash type %s', (_, hashType) => {
    const psbt = signWith(payer, unsigned, hashType);
    expect(namesOf(checkSigned(psbt.toBuffer(), plan))).toEqual(['signature']);
    expect(namesOf(checkSigned(rawOf(psbt.toBuffer()).toHex(), plan))).toEqual(['signature']);
  });

  it.each([0x00, 0x02, 0x03, 0x81])('is refused when a good signature says that it is of hash type %d', (hashType) => {
    const psbt = signWith(payer, unsigned, Transaction.SIGHASH_ALL);
    expect(checkSigned(psbt.toBuffer(), plan).kind).toBe('complete');
    for (const { partialSig, tapKeySig } of psbt.data.inputs) {
      const signature = partialSig?.[0]?.signature ?? tapKeySig;
      signature?.fill(hashType, signature.length - 1);
    }
    expect(namesOf(checkSigned(psbt.toBuffer(), plan))).toEqual(['signature']);
  });

  it('is taken when the hash type ALL is written out', () => {
    expect(checkSigned(signWith(payer, unsigned, Transaction.SIGHASH_ALL).toBuffer(), plan).kind).toBe('complete');
  });

  it('is refused when the signature of one input stands at the other', async () => {
    const raw = rawOf(await payer.sign(unsigned));
    const [one, two] = raw.ins;
    if (!one || !two) throw new Error('it has two inputs');
    [one.script, two.script] = [two.script, one.script];
    [one.witness, two.witness] = [two.witness, one.witness];
    expect(namesOf(checkSigned(raw.toHex(), plan))).toEqual(['signature']);
  });

  it('is refused when another key signed, well, for a coin that it would have', async () => {
    const tx = rawOf(await payer.sign(unsigned));
    const key = createTestPayer(kind, 8).keyAt(0, 0);
    const coins = plan.inputs.map(({ script, amountSats }) => {
      return { script: Buffer.from(script, 'hex'), amountSats: BigInt(amountSats) };
    });
    const sighashes = sighashesOf(tx, coins);
    if (kind === 'tr') tx.setWitness(0, [key.signSchnorr(sighashes.taproot(0, SIGHASH_DEFAULT))]);
    else {
      const code = keyHashScript(crypto.hash160(key.publicKey));
      const once = kind === 'pkh' ? sighashes.legacyOnce(0, code) : sighashes.witnessV0Once(0, code, 300_000n);
      const signature = scripts.signature.encode(key.sign(crypto.sha256(once)), SIGHASH_ALL);
      const { scriptSig, witness } = finalForm(kind, { publicKey: key.publicKey, signature });
      tx.setInputScript(0, scriptSig);
      tx.setWitness(0, witness);
    }
    expect(namesOf(checkSigned(tx.toHex(), plan))).toEqual(['signature']);
  });

  it('is refused with anything in scriptSig or witness that need not be there', async () => {
    const raw = rawOf(await payer.sign(unsigned));
    const changes: ((tx: Transaction) => void)[] = [
      (tx) => tx.setWitness(0, [...first(tx.ins).witness, Buffer.of(0x50, 1)]),
      (tx) => tx.setWitness(0, [Buffer.of(1), ...first(tx.ins).witness]),
      (tx) => tx.setInputScript(0, Buffer.concat([first(tx.ins).script, Buffer.of(0x51)])),
      (tx) => tx.setInputScript(0, Buffer.concat([Buffer.of(0x00), first(tx.ins).script])),
    ];
    // Room for it, so that it is not refused for its weight.
    const roomy = { ...plan, weight: plan.weight + 100 };
    for (const change of changes) {
      const tx = raw.clone();
      change(tx);
      expect(namesOf(checkSigned(tx.toHex(), roomy))).toEqual(['signature']);
    }
  });

  it('is refused when it weighs more than was planned', async () => {
    const signed = await payer.sign(unsigned);
    const weight = rawOf(signed).weight();
    expect(checkSigned(signed, { ...plan, weight }).kind).toBe('complete');
    expect(namesOf(checkSigned(signed, { ...plan, weight: weight - 1 }))).toEqual(['weight']);
  });

  it('is refused under another txid than the planned one', async () => {
    const signed = await payer.sign(unsigned);
    const txid = rawOf(signed).getId();
    expect(checkSigned(signed, { ...plan, txid }).kind).toBe('complete');
    expect(namesOf(checkSigned(signed, { ...plan, txid: 'ab'.repeat(32) }))).toEqual(['txid']);
  });

  it('is refused when the signer believed another amount, or covers none', () => {
    if (kind === 'pkh') {
      // Its signature covers no amount: the amount is ours to know, and a signer must see the previous transaction.
      expect(buildPsbt({ ...payer, network: 'regtest', transaction: plan, previous: new Map() })).toEqual({
        missing: [plan.inputs[0]?.txid],
      });
      return;
    }
    const psbt = Psbt.fromBuffer(Buffer.from(unsigned));
    for (const input of psbt.data.inputs) {
      delete input.nonWitnessUtxo;
      if (input.witnessUtxo) input.witnessUtxo.value -= 1n;
    }
    const signed = signWith(payer, psbt.toBuffer(), kind === 'tr' ? 0 : Transaction.SIGHASH_ALL);
    expect(namesOf(checkSigned(signed.toBuffer(), plan))).toEqual(['signature']);
  });

  it('does not look at what the PSBT claims of amounts: only signatures and the transaction count', async () => {
    const psbt = Psbt.fromBuffer(Buffer.from(await payer.sign(unsigned)));
    const honest = checkSigned(psbt.toBuffer(), plan);
    for (const input of psbt.data.inputs) {
      delete input.nonWitnessUtxo;
      delete input.bip32Derivation;
      delete input.tapBip32Derivation;
      if (input.witnessUtxo) input.witnessUtxo.value = 1n;
    }
    expect(checkSigned(psbt.toBuffer(), plan)).toEqual(honest);
  });
});

describe('what comes back', () => {
  const payer = createTestPayer('wpkh');
  const { plan, previous } = smallPlan(payer);
  const unsigned = psbtOf(payer, plan, previous);

  it('is refused with the other s of the same signature', async () => {
    const psbt = Psbt.fromBuffer(Buffer.from(await payer.sign(unsigned)));
    for (const input of psbt.data.inputs) {
      input.partialSig =
        input.partialSig?.map(({ pubkey, signature }) => ({ pubkey, signature: withHighS(signature) })) ?? [];
    }
    const checked = checkSigned(psbt.toBuffer(), plan);
    expect(JSON.stringify(checked)).toContain('BIP146');
  });

  it('is refused when another key signed', async () => {
    const psbt = Psbt.fromBuffer(Buffer.from(await payer.sign(unsigned)));
    const stranger = createTestPayer('wpkh', 8).keyAt(0, 0);
    const input = psbt.data.inputs[0];
    const signature = scripts.signature.encode(stranger.sign(Buffer.alloc(32, 1)), 1);
    if (input) input.partialSig = [{ pubkey: stranger.publicKey, signature }];
    expect(checkSigned(psbt.toBuffer(), plan)).toMatchObject({
      kind: 'mismatch',
      mismatches: [{ field: 'signature', detail: 'input 0: it is signed by a key that is not the one of the coin' }],
    });
  });

  it.each([
    ['nothing', ''],
    ['words', 'no, thank you'],
    ['odd hex', 'abc'],
    ['the beginning of a PSBT', 'cHNidP8='],
    ['bytes', Buffer.from('fffefdfc', 'hex')],
    ['no bytes', new Uint8Array()],
    ['more than is read', Buffer.alloc(MAX_SIGNED_BYTES + 1, 0xff)],
    ['more text than is read', 'A'.repeat(2 * MAX_SIGNED_BYTES + 4)],
    ['an empty transaction', '01000000000000000000'],
  ])('is refused where it is %s', (_, signed) => {
    expect(namesOf(checkSigned(signed, plan))).toEqual(
      signed === '01000000000000000000' ? ['version', 'locktime', 'inputs', 'outputs'] : ['format'],
    );
  });

  it('is refused as a PSBT of version 2, which has no unsigned transaction', () => {
    const version2 = Buffer.from('70736274ff01fb040200000000', 'hex');
    expect(JSON.stringify(checkSigned(version2, plan))).toContain('version 0');
  });
});
