import * as ecc from '@bitcoinerlab/secp256k1';
import { BIP32Factory } from 'bip32';
import { networks } from 'bitcoinjs-lib';
import { spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createLedgerClient, type LedgerClient } from '../support/ledger-client.js';
import { startLedgerProcess, type LedgerProcess } from '../support/ledger-process.js';

const ROOT = join(import.meta.dirname, '..', '..');
const SECRET = 'a secret that both sides have';
/** A script of nobody, witness version 0. */
const RECIPIENT = 'bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080';
const KINDS = ['pkh', 'sh-wpkh', 'wpkh', 'tr'];

const master = BIP32Factory(ecc).fromSeed(randomBytes(32), networks.regtest);
let dataDir: string;
let ledger: LedgerProcess | undefined;
let signer: ChildProcess | undefined;

beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'tallystick-examples-'));
  chmodSync(dataDir, 0o755);
});

afterEach(async () => {
  signer?.kill('SIGKILL');
  signer = undefined;
  await ledger?.stop();
  ledger = undefined;
  rmSync(dataDir, { recursive: true, force: true });
});

/** Of a native segwit wallet (BIP84). */
function descriptorOfMaster(): string {
  const account = master.derivePath("m/84'/1'/0'").neutered().toBase58();
  return `wpkh([${Buffer.from(master.fingerprint).toString('hex')}/84'/1'/0']${account}/<0;1>/*)`;
}

/** Alice has money in a wallet whose keys this ledger does not have, and asks for some of it. */
async function askForMoney(
  client: LedgerClient,
  walletId: string,
  descriptor: string,
  walletSigner: string,
): Promise<string> {
  const accountId = `of-${walletId}`;
  const send = async (path: string, body: unknown): Promise<Record<string, unknown>> => {
    const answer = await client.post(path, body, `${path} ${walletId}`);
    expect(answer.status, JSON.stringify(answer.body)).toBeLessThan(300);
    return answer.body;
  };
  await send('/v1/accounts', { accountId });
  await send('/v1/wallets', { walletId, descriptor, signer: walletSigner });
  const { address } = await send(`/v1/wallets/${walletId}/addresses`, { accountId });
  await send('/dev/chain/pay', { address, amountSats: '1000000' });
  await send('/dev/chain/mine', { blocks: 1 });
  const { withdrawalId } = await send('/v1/withdrawals', {
    accountId,
    walletId,
    address: RECIPIENT,
    amountSats: '250000',
    maxFeeSats: '20000',
  });
  return String(withdrawalId);
}

async function until<T>(what: string, look: () => Promise<T | undefined>): Promise<T> {
  for (let tries = 0; tries < 300; tries++) {
    const found = await look();
    if (found !== undefined) return found;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`waited in vain until ${what}`);
}

interface State {
  /** Null until the read model has it. */
  withdrawal: { status: string; payout: { id: string } | null } | null;
}

async function untilStatus(client: LedgerClient, withdrawalId: string, status: string): Promise<string> {
  return until(`${withdrawalId} is ${status}`, async () => {
    const query = 'query ($id: ID!) { withdrawal(id: $id) { status payout { id } } }';
    const { withdrawal } = await client.graphql<State>(query, { variables: { id: withdrawalId } });
    return withdrawal?.status === status ? withdrawal.payout?.id : undefined;
  });
}

async function runExample(
  name: string,
  { args = [], input = '', signerKey = '' }: { args?: string[]; input?: string; signerKey?: string },
): Promise<{ stdout: string; stderr: string }> {
  const child = spawn(process.execPath, [join(ROOT, 'examples', name), ...args], {
    env: { ...process.env, SIGNER_KEY: signerKey },
  });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  child.stdin.end(input);
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  expect(code, stderr).toBe(0);
  return { stdout, stderr };
}

describe('the examples of signers', () => {
  it('sign payments by file for every kind of wallet, and show what they pay', { timeout: 180_000 }, async () => {
    ledger = await startLedgerProcess({ DATA_DIR: dataDir });
    const client = createLedgerClient(ledger.url);
    for (const kind of KINDS) {
      const made = (await runExample('make-key.mjs', { args: [kind] })).stdout;
      const [, signerKey = '', descriptor = ''] =
        /^export SIGNER_KEY='(tprv\w+)'\nexport DESCRIPTOR="(.+)"\n$/.exec(made) ?? [];
      const withdrawalId = await askForMoney(client, `cold-${kind}`, descriptor, 'none');
      const payoutId = await untilStatus(client, withdrawalId, 'prepared');
      const unsigned = await fetch(`${ledger.url}/v1/payouts/${payoutId}/psbt`, { headers: { accept: 'text/plain' } });
      expect(unsigned.status).toBe(200);
      const { stdout, stderr } = await runExample('sign-psbt.mjs', { input: await unsigned.text(), signerKey });
      expect(stderr).toMatch(
        new RegExp(`pays +250000 sats to ${RECIPIENT}\\nchange|change .*\\npays +250000 sats to ${RECIPIENT}`),
      );
      const brought = await fetch(`${ledger.url}/v1/payouts/${payoutId}/psbt`, {
        method: 'POST',
        headers: { 'content-type': 'text/plain', 'idempotency-key': `signed ${kind}` },
        body: stdout,
      });
      expect(brought.status, await brought.clone().text()).toBe(202);
      await untilStatus(client, withdrawalId, 'broadcast');
      await client.post('/dev/chain/mine', { blocks: 1 });
      await untilStatus(client, withdrawalId, 'completed');
    }
  });

  it('sign over HTTP, and refuse what they may not pay', { timeout: 120_000 }, async () => {
    const url = await startHttpSigner();
    ledger = await startLedgerProcess({ DATA_DIR: dataDir, SIGNER_URL: url, SIGNER_SECRET: SECRET });
    const client = createLedgerClient(ledger.url);
    const withdrawalId = await askForMoney(client, 'warm', descriptorOfMaster(), 'http');
    await untilStatus(client, withdrawalId, 'broadcast');
    const forged = await fetch(url, {
      method: 'POST',
      body: JSON.stringify({ payoutId: 'p', walletId: 'w', psbt: '' }),
    });
    expect(forged.status).toBe(401);
    const large = await client.post(
      '/v1/withdrawals',
      { accountId: 'of-warm', address: RECIPIENT, amountSats: '500000' },
      'large',
    );
    expect(large.status).toBe(202);
    await until('the refusal is shown', async () => {
      const query = '{ payouts { edges { node { status waitReason waitDetail } } } }';
      const { payouts } = await client.graphql<{ payouts: { edges: { node: Record<string, unknown> }[] } }>(query);
      return payouts.edges.find(({ node }) => /more than this signer may/.test(String(node['waitDetail'])));
    });
  });
});

async function startHttpSigner(): Promise<string> {
  const child = spawn(process.execPath, [join(ROOT, 'examples', 'http-signer.mjs')], {
    env: {
      ...process.env,
      PORT: '0',
      SIGNER_KEY: master.toBase58(),
      SIGNER_SECRET: SECRET,
      MAX_PAYMENT_SATS: '400000',
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  signer = child;
  return new Promise((resolve, reject) => {
    let output = '';
    child.stdout.on('data', (chunk: Buffer) => {
      output += chunk.toString();
      const match = /(http:\S+)/.exec(output);
      if (match?.[1]) resolve(match[1]);
    });
    child.once('exit', () => reject(new Error(`the signer did not start: ${output}`)));
  });
}
