import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import * as ecc from '@bitcoinerlab/secp256k1';
import { BIP32Factory } from 'bip32';
import { networks } from 'bitcoinjs-lib';
import { describe, expect, it, onTestFinished } from 'vitest';
import { createHttpSigner } from '../bitcoin/payment/http-signer.js';
import { createTestPayer } from '../../test/support/payment-plan.js';
import { RECIPIENTS, type PayoutLedger } from '../../test/support/payout-ledger.js';
import { AT_REST, booksAtRest, dataOf, payoutLedgers } from '../../test/support/payout-ledgers.js';

const open = payoutLedgers();
const [TO] = RECIPIENTS;
const EXAMPLE = join(import.meta.dirname, '..', '..', 'examples', 'http-signer.mjs');
const SECRET = 'a secret that both sides have';
const SEED_BYTE = 77;

interface SignerProcess {
  url: string;
  child: ChildProcess;
  /** A line for each payment that it has signed. */
  output: () => string;
}

/** The example as a process of its own, with the keys of the wallet. */
async function startSigner(port = 0): Promise<SignerProcess> {
  const key = BIP32Factory(ecc).fromSeed(Buffer.alloc(32, SEED_BYTE), networks.regtest).toBase58();
  const child = spawn(process.execPath, [EXAMPLE], {
    env: { ...process.env, SIGNER_KEY: key, SIGNER_SECRET: SECRET, PORT: String(port) },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  onTestFinished(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  });
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const url = (): string | undefined => /http:\/\/127\.0\.0\.1:\d+\//.exec(output)?.[0];
  while (url() === undefined) {
    if (child.exitCode !== null) throw new Error(`the signer ended: ${output}`);
    await Promise.race([once(child.stdout, 'data'), once(child, 'exit')]);
  }
  return { url: url() ?? '', child, output: () => output };
}

async function ledgerWith(signer: SignerProcess, timeoutMs: number): Promise<PayoutLedger> {
  const http = createHttpSigner({ url: signer.url, secret: SECRET, timeoutMs, now: () => Date.now() });
  const wrapped = { signer: 'http' as const, payer: createTestPayer('wpkh', SEED_BYTE) };
  const ledger = await open({ ...wrapped, wrapSigners: (signers) => ({ ...signers, http }) });
  await ledger.withdraw({ withdrawalId: 'w1', amountSats: 1_000_000n });
  return ledger;
}

async function isPaidOnce(ledger: PayoutLedger): Promise<void> {
  expect(await ledger.events('CandidatePrepared', 'CandidateSigned')).toHaveLength(2);
  expect(ledger.chain.mempool.size).toBe(1);
  await ledger.mine(6);
  await ledger.settle();
  expect(ledger.receivedAt(TO)).toEqual([1_000_000n]);
  expect(await booksAtRest(ledger)).toEqual(AT_REST);
}

describe('a signer that is a process of its own', () => {
  it('may hang, be killed and come back: it is asked again, and the payment is made once', async () => {
    const signer = await startSigner();
    const ledger = await ledgerWith(signer, 1_000);
    signer.child.kill('SIGSTOP');
    await ledger.settle();
    expect(await dataOf(ledger, 'PayoutDeferred')).toMatchObject([
      { reason: 'signer-unavailable', detail: 'The signer does not answer in time.' },
    ]);
    // It signs what nobody waits for any more, or dies before it does.
    signer.child.kill('SIGCONT');
    signer.child.kill('SIGKILL');
    await once(signer.child, 'exit');
    ledger.restart();
    ledger.clock.aheadMs += 300_000;
    await ledger.settle();
    expect(await ledger.events('CandidateSigned')).toEqual([]);
    await startSigner(Number(new URL(signer.url).port));
    ledger.clock.aheadMs += 300_000;
    await ledger.settle();
    await isPaidOnce(ledger);
  });

  it('may answer when the ledger has been started again: both answers are the same payment', async () => {
    const signer = await startSigner();
    const ledger = await ledgerWith(signer, 60_000);
    signer.child.kill('SIGSTOP');
    const before = ledger.settle();
    while ((await ledger.events('CandidatePrepared')).length === 0) await new Promise((go) => setTimeout(go, 20));
    ledger.restart();
    const after = ledger.settle();
    signer.child.kill('SIGCONT');
    await Promise.all([before, after]);
    await ledger.settle();
    expect(signer.output().match(/payout /g)?.length).toBeGreaterThanOrEqual(1);
    await isPaidOnce(ledger);
  });
});
