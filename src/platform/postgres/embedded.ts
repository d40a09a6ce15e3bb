import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chownSync, closeSync, existsSync, mkdirSync, openSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { FatalError, RetryableError } from '../errors.js';
import { findPostgresBinaries, type PostgresBinaries } from './binaries.js';
import { makeCluster, readOrMakePassword } from './make-cluster.js';
import { postgresOsUser, type OsUser } from './os-user.js';
import { commandLineOf, isAlive } from './process-of.js';

const USER = 'tallystick';
const DATABASE = 'tallystick';
/** Crash recovery of a large log may take a while; a first answer after that is not to be hoped for. */
const START_TIMEOUT_MS = 120_000;
const STOP_TIMEOUT_MS = 30_000;
/** A server that was left behind may be replaying its log; after this long it is hung, and ended. */
const TAKE_OVER_TIMEOUT_MS = 60_000;
const POLL_MS = 25;

export interface EmbeddedPostgres {
  /** Connection URL of the ledger's database, as its owner. */
  url: string;
  /** True when the server was found running: a process before us died and left it behind. */
  tookOver: boolean;
  pid: number;
  /** Fast shutdown: sessions are ended, everything committed is on disk. */
  stop(): Promise<void>;
}

export interface EmbeddedPostgresOptions {
  /** `DATA_DIR`. The cluster lies in `postgres/` below it. */
  dataDir: string;
  /** Extra `name=value` settings. */
  settings?: readonly string[];
  /** Loopback port to listen on; a free one where it is not given. A server that is taken over keeps its own. */
  port?: number;
}

/**
 * Starts the PostgreSQL that comes with npm, under the data folder, on a free loopback port. A server that an earlier
 * process left running on this very cluster is taken over; any other server is left alone.
 */
export async function startEmbeddedPostgres(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  const dataDir = resolve(options.dataDir);
  mkdirSync(dataDir, { recursive: true });
  const runAs = postgresOsUser();
  const binaries = findPostgresBinaries(runAs);
  const cluster = clusterFolder(dataDir, runAs);
  const password = readOrMakePassword(dataDir);
  if (!existsSync(join(cluster, 'PG_VERSION'))) makeCluster({ cluster, password, binaries, runAs, user: USER });

  const left = await takeOver(cluster, password);
  if (left) return await opened(left, true);
  try {
    const port = options.port ?? (await freePort());
    const settings = options.settings ?? [];
    const started = await startServer({ cluster, password, binaries, runAs, dataDir, settings, port });
    return await opened(started, false);
  } catch (error) {
    // Another process may have started it in the same moment: PostgreSQL lets one server have a cluster.
    const other = await takeOver(cluster, password);
    if (other) return await opened(other, true);
    throw error;
  }
}

async function opened(server: Running, tookOver: boolean): Promise<EmbeddedPostgres> {
  await createDatabase(server.url);
  return { ...server, tookOver, stop: () => stopServer(server.pid) };
}

function urlFor(port: number, password: string): string {
  return `postgres://${USER}:${password}@127.0.0.1:${port}/${DATABASE}`;
}

/**
 * The cluster lies below the data folder, except where root started us in a folder that the user `postgres` cannot enter
 * (a home with mode 0700): then below /var/lib, under a name made from the data folder's path.
 */
function clusterFolder(dataDir: string, runAs: OsUser | undefined): string {
  const usual = join(dataDir, 'postgres');
  if (runAs === undefined) return usual;
  const canEnter = spawnSync('test', ['-x', dataDir], { uid: runAs.uid, gid: runAs.gid, cwd: '/' }).status === 0;
  const name = createHash('sha256').update(dataDir).digest('hex').slice(0, 16);
  const folder = canEnter ? usual : join('/var/lib/tallystick', name);
  mkdirSync(folder, { recursive: true });
  chownSync(folder, runAs.uid, runAs.gid);
  return folder;
}

interface Running {
  url: string;
  pid: number;
}

/**
 * A live server of this cluster, or undefined after making sure that none is left: one of ours that does not answer is
 * ended, and a pid file whose number belongs to another program by now is removed.
 */
async function takeOver(cluster: string, password: string): Promise<Running | undefined> {
  const running = readPidFile(cluster);
  if (!running || !isAlive(running.pid)) return undefined;
  const commandLine = commandLineOf(running.pid);
  if (commandLine !== undefined && !commandLine.includes(`-D ${cluster} `)) {
    rmSync(join(cluster, 'postmaster.pid'), { force: true });
    return undefined;
  }
  const url = urlFor(running.port, password);
  const deadline = Date.now() + TAKE_OVER_TIMEOUT_MS;
  while (isAlive(running.pid) && Date.now() < deadline) {
    if ((await askDataDirectory(url)) === cluster) return { url, pid: running.pid };
    await sleep(POLL_MS);
  }
  // Without a command line nothing proves that the process is ours: PostgreSQL's own lock file then has the last word.
  if (commandLine !== undefined && isAlive(running.pid)) await kill(running.pid);
  return undefined;
}

/** Immediate shutdown, as after a power cut: the log replays at the next start. */
async function kill(pid: number): Promise<void> {
  process.kill(pid, 'SIGQUIT');
  const deadline = Date.now() + STOP_TIMEOUT_MS;
  while (isAlive(pid) && Date.now() < deadline) await sleep(POLL_MS);
  if (isAlive(pid)) process.kill(pid, 'SIGKILL');
  while (isAlive(pid)) await sleep(POLL_MS);
}

function readPidFile(cluster: string): { pid: number; port: number } | undefined {
  const file = join(cluster, 'postmaster.pid');
  if (!existsSync(file)) return undefined;
  const lines = readFileSync(file, 'utf8').split('\n');
  const pid = Number(lines[0]);
  const port = Number(lines[3]);
  return Number.isInteger(pid) && pid > 1 && Number.isInteger(port) && port > 0 ? { pid, port } : undefined;
}

/** The folder of the server at this address, undefined where none answers (yet) or it does not know our password. */
async function askDataDirectory(url: string): Promise<string | undefined> {
  const client = new pg.Client({ connectionString: withDatabase(url, 'postgres'), connectionTimeoutMillis: 2000 });
  let trouble: Error | undefined;
  client.on('error', (error) => (trouble = error));
  try {
    await client.connect();
    const { rows } = await client.query<{ data_directory: string }>('SHOW data_directory');
    return rows[0]?.data_directory;
  } catch (error) {
    trouble = error as Error;
    return undefined;
  } finally {
    if (trouble === undefined) await client.end();
    else client.end().catch(() => undefined);
  }
}

interface StartServer {
  cluster: string;
  password: string;
  binaries: PostgresBinaries;
  runAs: OsUser | undefined;
  dataDir: string;
  settings: readonly string[];
  port: number;
}

async function startServer(start: StartServer): Promise<Running> {
  const { port } = start;
  const settings = [
    'listen_addresses=127.0.0.1',
    `port=${port}`,
    'unix_socket_directories=',
    'max_connections=100',
    'shared_buffers=256MB',
    'maintenance_work_mem=128MB',
    'max_wal_size=4GB',
    'checkpoint_timeout=15min',
    // Nobody replicates from here. What a transaction writes to a table or index that it has made goes to the file alone, which is on
    // disk when the transaction ends: a rebuild of the read models writes everything once, not twice.
    'wal_level=minimal',
    'max_wal_senders=0',
    // Our statements are short look-ups and appends; compiling them costs more than it saves.
    'jit=off',
    ...start.settings,
  ];
  const log = openSync(join(start.dataDir, 'postgres.log'), 'a');
  // Its own process group: Ctrl-C in the terminal reaches us alone, and we stop the server last.
  const child = spawn(
    start.binaries.postgres,
    ['-D', start.cluster, ...settings.flatMap((setting) => ['-c', setting])],
    {
      detached: true,
      stdio: ['ignore', log, log],
      cwd: '/',
      ...start.runAs,
    },
  );
  closeSync(log);
  let failure: string | undefined;
  child.on('error', (error) => (failure = error.message));
  child.on('exit', (code, signal) => (failure = `exit ${code ?? signal}`));
  child.unref();
  const url = urlFor(port, start.password);
  const deadline = Date.now() + START_TIMEOUT_MS;
  while (failure === undefined && Date.now() < deadline) {
    if ((await askDataDirectory(url)) === start.cluster && child.pid !== undefined) return { url, pid: child.pid };
    await sleep(POLL_MS);
  }
  throw new FatalError(
    `PostgreSQL did not start (${failure ?? 'time-out'}): see ${join(start.dataDir, 'postgres.log')}`,
    {
      cluster: start.cluster,
    },
  );
}

async function createDatabase(url: string): Promise<void> {
  const client = new pg.Client({ connectionString: withDatabase(url, 'postgres') });
  await client.connect();
  try {
    const { rowCount } = await client.query('SELECT 1 FROM pg_database WHERE datname = $1', [DATABASE]);
    if (rowCount === 0) await client.query(`CREATE DATABASE ${DATABASE}`);
  } catch (error) {
    // Made by another process between the question and the answer: both codes are what PostgreSQL says of that.
    const code = (error as { code?: string }).code;
    if (code !== '42P04' && code !== '23505') throw error;
  } finally {
    await client.end();
  }
}

async function stopServer(pid: number): Promise<void> {
  if (!isAlive(pid)) return;
  process.kill(pid, 'SIGINT');
  const deadline = Date.now() + STOP_TIMEOUT_MS;
  while (isAlive(pid)) {
    if (Date.now() > deadline)
      throw new RetryableError(`PostgreSQL (pid ${pid}) did not stop in ${STOP_TIMEOUT_MS} ms`);
    await sleep(POLL_MS);
  }
}

function withDatabase(url: string, database: string): string {
  const changed = new URL(url);
  changed.pathname = `/${database}`;
  return changed.toString();
}

async function freePort(): Promise<number> {
  return await new Promise((resolvePort, rejectPort) => {
    const server = createServer();
    server.once('error', rejectPort);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => {
        if (address !== null && typeof address === 'object') resolvePort(address.port);
        else rejectPort(new RetryableError('the system gave no port'));
      });
    });
  });
}
