import { once } from 'node:events';
import { mkdtempSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { partPath } from './parts.js';
import { startWatched } from './watched-process.js';

export interface BtcdOptions {
  /** regtest forgets everything at every start; simnet keeps its blocks. */
  network?: 'regtest' | 'simnet';
  /** Who gets the coins of `generate`. */
  miningAddress?: string;
  /** A folder to keep over restarts (simnet); else a temporary one that goes with the node. */
  directory?: string;
  /** Port to listen for RPC on; else a free one. */
  rpcPort?: number;
}

export interface Btcd {
  /** With user and password. */
  readonly url: string;
  readonly rpcPort: number;
  readonly user: string;
  readonly password: string;
  /** One JSON-RPC call; rejects with the node's code and message. */
  call<T = unknown>(method: string, ...params: unknown[]): Promise<T>;
  stop(): Promise<void>;
  /** SIGKILL, as when the machine dies: resolves when it is gone. */
  kill(): Promise<void>;
}

const USER = 'tallystick';
const PASSWORD = 'a-password-of-tests';
const START_TIMEOUT_MS = 30_000;

/** Starts a btcd on loopback, with relay rules like those of Bitcoin Core. It ends with the test process at the latest. */
export async function startBtcd(options: BtcdOptions = {}): Promise<Btcd> {
  const { network = 'regtest', miningAddress } = options;
  const binary = partPath('btcd', 'bin/btcd');
  const directory = options.directory ?? mkdtempSync(join(tmpdir(), 'tallystick-test-btcd-'));
  const rpcPort = options.rpcPort ?? (await freePort());
  const watched = startWatched(
    binary,
    [
      `--${network}`,
      '--notls',
      `--rpcuser=${USER}`,
      `--rpcpass=${PASSWORD}`,
      `--rpclisten=127.0.0.1:${rpcPort}`,
      `--listen=127.0.0.1:${await freePort()}`,
      `--datadir=${directory}/data`,
      `--logdir=${directory}/logs`,
      // One that does not exist: btcd would look into the home of the user otherwise.
      `--configfile=${directory}/none.conf`,
      '--nodnsseed',
      '--txindex',
      '--rejectnonstd',
      '--limitfreerelay=0',
      '--norelaypriority',
      '--trickleinterval=50ms',
      '--nobanning',
      '--nostalldetect',
      '--rpcmaxclients=100',
      ...(miningAddress ? [`--miningaddr=${miningAddress}`] : []),
    ],
    options.directory ? '' : directory,
  );
  const node: Btcd = {
    url: `http://${USER}:${PASSWORD}@127.0.0.1:${rpcPort}`,
    rpcPort,
    user: USER,
    password: PASSWORD,
    call: (method, ...params) => callRpc(rpcPort, method, params),
    stop: () => watched.stop(),
    kill: async () => {
      const exited = once(watched.child, 'exit');
      // Closing the pipe is what kills the part the hard way.
      watched.child.stdin?.end();
      await exited;
    },
  };
  try {
    await untilItAnswers(node, () => watched.child.exitCode !== null);
  } catch (error) {
    await watched.stop();
    throw new Error(`btcd did not start:\n${watched.output()}`, { cause: error });
  }
  return node;
}

async function untilItAnswers(node: Btcd, hasExited: () => boolean): Promise<void> {
  const deadline = Date.now() + START_TIMEOUT_MS;
  for (;;) {
    try {
      await node.call('getblockcount');
      return;
    } catch (error) {
      if (hasExited() || Date.now() > deadline) throw error;
      await sleep(20);
    }
  }
}

async function callRpc<T>(port: number, method: string, params: readonly unknown[]): Promise<T> {
  const answer = await fetch(`http://127.0.0.1:${port}/`, {
    method: 'POST',
    headers: { authorization: `Basic ${Buffer.from(`${USER}:${PASSWORD}`).toString('base64')}` },
    body: JSON.stringify({ jsonrpc: '1.0', id: 1, method, params }),
  });
  const text = await answer.text();
  if (!text.startsWith('{')) throw new Error(`btcd answered ${answer.status}: ${text.slice(0, 200)}`);
  const { result, error } = JSON.parse(text) as { result: T; error: { code: number; message: string } | null };
  if (error) throw new Error(`${method}: ${error.code} ${error.message}`);
  return result;
}

/** A port that nothing listens on now. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (typeof address !== 'object' || !address) throw new Error('no port');
  return address.port;
}
