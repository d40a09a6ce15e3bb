import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { createLedgerClient, type LedgerClient } from '../support/ledger-client.js';
import { runTallystick, startLedgerProcess, type LedgerProcess } from '../support/ledger-process.js';
import { partPath } from '../support/parts.js';

const SUPPORT = join(import.meta.dirname, '..', 'support');
const API_KEY = 'a-key-for-the-fuzzer-0123456789';
/** The same requests in every run, as far as the answers are the same. */
const SEED = '20090103';
/** Cases of each operation and phase: about half a minute in all on two cores. */
const REST_EXAMPLES = '60';
const GRAPHQL_EXAMPLES = '80';
const FUZZ_TIMEOUT_MS = 240_000;

let directory: string;
let ledger: LedgerProcess;
let client: LedgerClient;

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'tallystick-fuzz-'));
  ledger = await startLedgerProcess({ DATA_DIR: directory, API_KEYS: API_KEY });
  client = createLedgerClient(ledger.url, { authorization: `Bearer ${API_KEY}` });
});

afterEach(async () => {
  await ledger.stop();
  rmSync(directory, { recursive: true, force: true });
});

it(
  'answers every request as its schemas say, and keeps its books, whatever a fuzzer sends',
  async () => {
    const known = await prepare();
    const rest = await fuzz(['/openapi.json', '--max-examples', REST_EXAMPLES], known);
    expect(rest.output, rest.output).toMatch(/Tested: +21\n/);
    expect(rest.code, rest.output).toBe(0);
    // A query can be well-formed and still ask for what is not there: what it is told then, the hooks check.
    const header = `Authorization: Bearer ${API_KEY}`;
    const graphql = ['/graphql', '--header', header, '--max-examples', GRAPHQL_EXAMPLES];
    const reads = await fuzz([...graphql, '--exclude-checks', 'positive_data_acceptance'], known);
    expect(reads.output, reads.output).toMatch(/Tested: +\d+\n/);
    expect(reads.code, reads.output).toBe(0);

    // Still the same process, and it has logged no failure.
    const { ledger: state } = await client.graphql<{ ledger: Record<string, unknown> }>(
      '{ ledger { differenceSats customersSats walletsSats projections { name state lagEvents } } }',
    );
    expect(state['differenceSats']).toBe('0');
    for (const projection of state['projections'] as object[]) expect(projection).toMatchObject({ state: 'live' });
    expect(ledger.output()).not.toMatch(/"level":[56]0/);
    expect(await ledger.stop()).toBe(0);

    const verified = await runTallystick(['verify'], { DATA_DIR: directory });
    expect(verified.code, verified.stdout + verified.stderr).toBe(0);
  },
  2 * FUZZ_TIMEOUT_MS,
);

interface Known {
  address: string;
  blockHashes: string[];
}

/** Something of everything, so that the fuzzer has it to ask for: accounts, a wallet, a deposit, a transfer, a reorg. */
async function prepare(): Promise<Known> {
  const done = async (path: string, body: object): Promise<Record<string, unknown>> => {
    const answer = await client.post(path, body, `prepare ${path} ${JSON.stringify(body)}`);
    if (answer.status >= 300) throw new Error(`${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
    return answer.body;
  };
  await done('/v1/accounts', { accountId: 'alice', metadata: { since: 2026 } });
  await done('/v1/accounts', { accountId: 'bob' });
  await done('/v1/wallets', { walletId: 'hot', signer: 'local' });
  const address = String((await done('/v1/wallets/hot/addresses', { accountId: 'alice' }))['address']);
  await done('/dev/chain/pay', { address, amountSats: '100000000' });
  const { hashes } = await done('/dev/chain/mine', { blocks: 2 });
  await done('/v1/transfers', { fromAccountId: 'alice', toAccountId: 'bob', amountSats: '30000' });
  const { connected } = await done('/dev/chain/reorg', { depth: 2, blocks: 3 });
  return { address, blockHashes: [...(hashes as string[]), ...(connected as string[])] };
}

async function fuzz([path = '', ...args]: string[], known: Known): Promise<{ code: number | null; output: string }> {
  const child = spawn(
    partPath('schemathesis', 'schemathesis/bin/schemathesis'),
    [
      ...['--config-file', join(SUPPORT, 'schemathesis.toml'), '--no-color', 'run', ledger.url + path],
      ...['--seed', SEED, '--continue-on-failure', ...args],
    ],
    {
      // It keeps what it found in the folder it runs in.
      cwd: directory,
      env: {
        ...process.env,
        SCHEMATHESIS_HOOKS: join(SUPPORT, 'schemathesis_hooks.py'),
        FUZZ_API_KEY: API_KEY,
        FUZZ_ADDRESS: known.address,
        FUZZ_BLOCK_HASHES: known.blockHashes.join(','),
        PYTHONDONTWRITEBYTECODE: '1',
      },
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: FUZZ_TIMEOUT_MS,
    },
  );
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  return { code, output };
}
