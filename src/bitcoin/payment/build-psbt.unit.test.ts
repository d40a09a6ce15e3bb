import { Psbt } from 'bitcoinjs-lib';
import { describe, expect, it } from 'vitest';
import { createTestPayer, planOf, psbtOf, SCRIPT_KINDS, smallPlan } from '../../../test/support/payment-plan.js';
import { parseDescriptor } from '../descriptors/parse-descriptor.js';
import { buildPsbt } from './build-psbt.js';
import { keyOrigin } from './key-origin.js';
import { unsignedTransaction } from './unsigned-transaction.js';

const HARDENED = 0x8000_0000;
const PURPOSES = { pkh: 44, 'sh-wpkh': 49, wpkh: 84, tr: 86 } as const;

describe.each(SCRIPT_KINDS)('the PSBT of a payment of %s', (kind) => {
  const payer = createTestPayer(kind);
  const { plan, previous } = smallPlan(payer);
  const psbt = Psbt.fromBuffer(Uint8Array.from(psbtOf(payer, plan, previous)));
  const path = `m/${PURPOSES[kind]}'/1'/0'`;

  it('is the same bytes for the same plan, and of the transaction that was planned', () => {
    expect(psbtOf(payer, structuredClone(plan), previous)).toEqual(psbtOf(payer, plan, previous));
    expect(Buffer.from(psbt.data.getTransaction()).toString('hex')).toBe(unsignedTransaction(plan).toHex());
  });

  it('holds what a signer needs to check for itself: coins, the transactions that made them, and its keys', () => {
    for (const [index, input] of psbt.data.inputs.entries()) {
      const publicKey = payer.keyAt(0, index).publicKey;
      const where = { masterFingerprint: expect.any(Uint8Array) as Uint8Array, path: `${path}/0/${index}` };
      expect(input.nonWitnessUtxo?.length ?? 0).toBe(kind === 'tr' ? 0 : previous[0]?.toBuffer().length);
      expect(input.witnessUtxo?.value).toBe(kind === 'pkh' ? undefined : BigInt(plan.inputs[index]?.amountSats ?? 0));
      expect(input.sighashType).toBeUndefined();
      expect(input.redeemScript !== undefined).toBe(kind === 'sh-wpkh');
      if (kind === 'tr') {
        const pubkey = publicKey.subarray(1);
        expect(input.tapInternalKey).toEqual(pubkey);
        expect(input.tapBip32Derivation).toEqual([{ ...where, pubkey, leafHashes: [] }]);
      } else {
        expect(input.bip32Derivation).toEqual([{ ...where, pubkey: publicKey }]);
      }
    }
  });

  it('marks what is change, and nothing else', () => {
    const [first, second, change] = psbt.data.outputs;
    expect([first, second]).toEqual([{}, {}]);
    const publicKey = payer.keyAt(1, 3).publicKey;
    const [where] = change?.bip32Derivation ?? change?.tapBip32Derivation ?? [];
    expect(where).toMatchObject({ path: `${path}/1/3`, pubkey: kind === 'tr' ? publicKey.subarray(1) : publicKey });
    expect(change?.tapInternalKey).toEqual(kind === 'tr' ? publicKey.subarray(1) : undefined);
  });

  it('can do without previous transactions where a signature covers the amount', () => {
    const made = buildPsbt({ ...payer, network: 'regtest', transaction: plan, previous: new Map() });
    expect('missing' in made).toBe(kind === 'pkh');
  });

  it('is not made where the log and a previous transaction do not agree', () => {
    if (kind === 'tr') return expect(psbt.data.inputs[0]?.nonWitnessUtxo).toBeUndefined();
    const lying = structuredClone(plan);
    const [input] = lying.inputs;
    if (input) input.amountSats = '300001';
    expect(() => psbtOf(payer, lying, previous)).toThrow('a coin is as its transaction makes it');
    const [parent] = previous;
    const renamed = new Map([[plan.inputs[0]?.txid ?? '', Buffer.from(parent?.toBuffer() ?? [])]]);
    renamed.get(plan.inputs[0]?.txid ?? '')?.writeUInt32LE(1, 0);
    expect(() => buildPsbt({ ...payer, network: 'regtest', transaction: plan, previous: renamed })).toThrow(/txid/);
  });

  it('is not made for a coin of another script than its derivation says', () => {
    const other = structuredClone(plan);
    const [input] = other.inputs;
    if (input) input.derivation.index = 5;
    expect(() => psbtOf(payer, other, previous)).toThrow('a coin has the script of its derivation');
  });
});

describe('the origin of keys', () => {
  const origin = (text: string) => {
    const parsed = parseDescriptor(text, 'regtest');
    if ('invalid' in parsed) throw new Error(parsed.invalid);
    const { masterFingerprint, path } = keyOrigin(parsed.receive, 'regtest');
    return { fingerprint: Buffer.from(masterFingerprint).toString('hex'), path };
  };
  const key = /tpub\w+/.exec(createTestPayer('wpkh').descriptor)?.[0] ?? '';

  it('is as the descriptor says, in the one way that PSBTs write it', () => {
    expect(origin(`wpkh([d34db33f/84h/1H/0']${key}/<0;1>/*)`)).toEqual({
      fingerprint: 'd34db33f',
      path: [84 + HARDENED, 1 + HARDENED, HARDENED, 0],
    });
    expect(origin(`tr([D34DB33F]${key}/7/<2;3>/*)`)).toEqual({ fingerprint: 'd34db33f', path: [7, 2] });
  });

  it('is the extended key itself where the descriptor names none', () => {
    const own = origin(`wpkh(${key}/0/*)`);
    expect(own.path).toEqual([0]);
    expect(own.fingerprint).not.toBe(origin(createTestPayer('wpkh').descriptor).fingerprint);
  });
});

describe('the local signer', () => {
  it('signs for descriptors that name no origin of their key', async () => {
    const payer = createTestPayer('wpkh');
    const parsed = parseDescriptor(payer.descriptor.replace(/\[[^\]]*\]/, ''), 'regtest');
    if ('invalid' in parsed || !parsed.change) throw new Error('it is valid');
    const bare = { ...payer, receive: parsed.receive, change: parsed.change };
    const { plan, previous } = smallPlan(payer);
    const signed = await payer.sign(psbtOf(bare, plan, previous));
    expect(signed).not.toEqual(psbtOf(bare, plan, previous));
  });

  it('refuses to sign for the keys of others', async () => {
    const stranger = createTestPayer('wpkh', 8);
    const { plan, previous } = smallPlan(stranger);
    await expect(createTestPayer('wpkh').sign(psbtOf(stranger, plan, previous))).rejects.toThrow('names no key');
  });

  it('signs the same payment the same way every time', async () => {
    const payer = createTestPayer('wpkh');
    const plan = planOf(payer, {
      inputs: [{ txid: 'ab'.repeat(32), vout: 0, amountSats: 10_000n, index: 0 }],
      outputs: [{ script: '0014'.padEnd(44, '0'), amountSats: 9_000n }],
    });
    expect(await payer.sign(psbtOf(payer, plan))).toEqual(await payer.sign(psbtOf(payer, plan)));
  });
});
