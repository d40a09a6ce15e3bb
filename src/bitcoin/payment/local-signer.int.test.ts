import { randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { psbtOf, smallPlan, type TestPayer } from '../../../test/support/payment-plan.js';
import { deriveScript } from '../descriptors/derive-script.js';
import { parseDescriptor } from '../descriptors/parse-descriptor.js';
import { createLocalKeys, type LocalKeys } from '../keys/local-keys.js';
import type { NetworkName } from '../network.js';
import { checkSigned } from './check-signed.js';
import { createLocalSigner } from './local-signer.js';
import { createManualSigner } from './manual-signer.js';

let directory: string;
let keys: LocalKeys;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'tallystick-keys-'));
  keys = createLocalKeys({ directory, network: 'regtest', randomBytes });
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

/** The wallet as the ledger makes it for signer `local`. */
async function walletOf(walletId: string): Promise<Omit<TestPayer, 'sign' | 'keyAt'>> {
  const { descriptor } = await keys.ensure(walletId);
  const parsed = parseDescriptor(descriptor, 'regtest');
  if ('invalid' in parsed || !parsed.change) throw new Error('it is valid');
  const { receive, change } = parsed;
  const script = (branch: 0 | 1, index: number) =>
    Buffer.from(deriveScript(branch === 0 ? receive : change, index)).toString('hex');
  return { descriptor, receive, change, script };
}

const signerOn = (network: NetworkName) => createLocalSigner({ keys, network, randomBytes });

describe('the signer with keys in a file', () => {
  it('signs for the wallet that the ledger made, and for no other', async () => {
    const wallet = await walletOf('hot');
    const { plan, previous } = smallPlan(wallet);
    const psbt = psbtOf(wallet, plan, previous);
    const answer = await signerOn('regtest').sign({ payoutId: 'p', walletId: 'hot', psbt });
    if (answer.kind !== 'signed') throw new Error(JSON.stringify(answer));
    expect(checkSigned(answer.signed, plan).kind).toBe('complete');
    await keys.ensure('other');
    expect(await signerOn('regtest').sign({ payoutId: 'p', walletId: 'other', psbt })).toMatchObject({
      kind: 'refused',
    });
    expect(await signerOn('regtest').sign({ payoutId: 'p', walletId: 'none', psbt })).toMatchObject({
      kind: 'refused',
    });
  });

  it('does not sign with a damaged file, and does not say what is in it', async () => {
    const wallet = await walletOf('hot');
    const { plan, previous } = smallPlan(wallet);
    writeFileSync(join(directory, readdirSync(directory)[0] ?? ''), '{"seed":"top secret"');
    const answer = await signerOn('regtest').sign({
      payoutId: 'p',
      walletId: 'hot',
      psbt: psbtOf(wallet, plan, previous),
    });
    expect(answer).toMatchObject({ kind: 'unavailable' });
    expect(JSON.stringify(answer)).not.toContain('secret');
  });

  it.each(['mainnet', 'testnet4'] as const)('does not exist on %s', (network) => {
    expect(() => signerOn(network)).toThrow(/keeps no keys on/);
    expect(() => signerOn('signet')).not.toThrow();
  });
});

describe('a person as the signer', () => {
  it('is waited for', async () => {
    const answer = await createManualSigner().sign({ payoutId: 'p', walletId: 'w', psbt: new Uint8Array() });
    expect(answer.kind).toBe('pending');
  });
});
