import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { partFile } from './parts.mjs';
import { findRunning, startDetached, stopService, untilReady } from './processes.mjs';

export const BITCOIN_USER = 'tallystick';
/** Blocks per request: 300 come in 17 ms, one by one each takes 0.9 ms. */
const BATCH = 300;

/**
 * A btcd on regtest, with relay rules like those of Bitcoin Core. It forgets its chain whenever it ends: a clean stop writes the blocks
 * down, and the next start gives them back. After a kill the chain begins anew at what was last written down.
 */
export const bitcoin = {
  name: 'bitcoin',
  title: 'Bitcoin node',
  ports: ['bitcoin', 'bitcoinPeers'],

  running: (stack) => findRunning(stack.dir, 'bitcoin'),

  async start(stack) {
    const { dir, state } = stack;
    const data = join(dir, 'bitcoin');
    mkdirSync(data, { recursive: true });
    startDetached(dir, 'bitcoin', partFile('bin/btcd'), [
      '--regtest',
      '--notls',
      `--rpcuser=${BITCOIN_USER}`,
      `--rpcpass=${state.bitcoinPassword}`,
      `--rpclisten=127.0.0.1:${state.ports.bitcoin}`,
      `--listen=127.0.0.1:${state.ports.bitcoinPeers}`,
      `--datadir=${join(data, 'data')}`,
      `--logdir=${join(data, 'logs')}`,
      // One that does not exist: btcd would look into the home of the user otherwise.
      `--configfile=${join(data, 'none.conf')}`,
      '--nodnsseed',
      '--txindex',
      '--rejectnonstd',
      '--limitfreerelay=0',
      '--norelaypriority',
      '--trickleinterval=50ms',
      '--nobanning',
      '--nostalldetect',
      '--rpcmaxclients=100',
      `--miningaddr=${stack.options.miningAddress}`,
    ]);
    await untilReady(dir, 'bitcoin', () => call(stack, 'getblockcount'));
    await giveBack(stack, join(data, 'blocks.hex'));
  },

  async stop(stack, signal = 'SIGINT') {
    if (signal === 'SIGINT' && this.running(stack) !== undefined) {
      await writeDown(stack, join(stack.dir, 'bitcoin', 'blocks.hex'));
    }
    return stopService(stack.dir, 'bitcoin', signal);
  },
};

async function writeDown(stack, file) {
  const height = await call(stack, 'getblockcount');
  const lines = [];
  for (let first = 1; first <= height; first += BATCH) {
    const heights = Array.from({ length: Math.min(BATCH, height - first + 1) }, (_, i) => first + i);
    const hashes = await batch(
      stack,
      'getblockhash',
      heights.map((at) => [at]),
    );
    lines.push(
      ...(await batch(
        stack,
        'getblock',
        hashes.map((hash) => [hash, 0]),
      )),
    );
  }
  writeFileSync(`${file}.new`, lines.map((line) => `${line}\n`).join(''));
  renameSync(`${file}.new`, file);
}

async function giveBack(stack, file) {
  if (!existsSync(file)) return;
  const blocks = readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line !== '');
  for (let first = 0; first < blocks.length; first += BATCH) {
    await batch(
      stack,
      'submitblock',
      blocks.slice(first, first + BATCH).map((block) => [block]),
    );
  }
}

export async function call(stack, method, ...params) {
  return (await batch(stack, method, [params]))[0];
}

async function batch(stack, method, calls) {
  const answer = await fetch(`http://127.0.0.1:${stack.state.ports.bitcoin}/`, {
    method: 'POST',
    headers: {
      authorization: `Basic ${Buffer.from(`${BITCOIN_USER}:${stack.state.bitcoinPassword}`).toString('base64')}`,
    },
    body: JSON.stringify(calls.map((params, id) => ({ jsonrpc: '1.0', id, method, params }))),
  });
  if (!answer.ok) throw new Error(`btcd answered ${answer.status}: ${(await answer.text()).slice(0, 200)}`);
  const results = await answer.json();
  for (const { error } of results) if (error) throw new Error(`${method}: ${error.code} ${error.message}`);
  return results.sort((a, b) => a.id - b.id).map(({ result }) => result);
}
