import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** Of the project, wherever this was compiled to. */
const PROGRAM = findAbove(import.meta.dirname, join('bin', 'tallystick.js'));
const START_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 20_000;

export interface LedgerProcess {
  /** `http://127.0.0.1:<port>` */
  url: string;
  pid: number;
  /** What it has printed so far. */
  output(): string;
  /** SIGKILL, and waits until it is gone. */
  kill(): Promise<void>;
  /** The signal of Ctrl-C; resolves to the exit code. */
  stop(): Promise<number | null>;
  exited: Promise<number | null>;
}

/** Starts the real binary on a free port. Kill or stop it in `afterEach`. */
export async function startLedgerProcess(env: Record<string, string>): Promise<LedgerProcess> {
  const child = spawn(process.execPath, [PROGRAM, 'start'], {
    env: { ...process.env, PORT: '0', LOG_LEVEL: 'warn', NODE_ENV: 'production', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const exited = new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)));
  let output = '';
  const url = await new Promise<string>((resolve, reject) => {
    const timer = setTimeout(() => fail('did not start in time'), START_TIMEOUT_MS);
    const fail = (reason: string): void => {
      clearTimeout(timer);
      child.kill('SIGKILL');
      reject(new LedgerStartError(reason, output));
    };
    const read = (chunk: Buffer): void => {
      output += chunk.toString();
      const match = /(http:\/\/127\.0\.0\.1:\d+)\//.exec(output);
      if (!match?.[1]) return;
      clearTimeout(timer);
      resolve(match[1]);
    };
    child.stdout.on('data', read);
    child.stderr.on('data', read);
    child.once('exit', (code, signal) => fail(`exited with ${code ?? signal}`));
  });
  return {
    url,
    pid: child.pid ?? 0,
    output: () => output,
    kill: async () => {
      child.kill('SIGKILL');
      await exited;
    },
    stop: () => stop(child, exited),
    exited,
  };
}

export class LedgerStartError extends Error {
  constructor(
    reason: string,
    readonly output: string,
  ) {
    super(`the ledger ${reason}:\n${output}`);
  }
}

function findAbove(folder: string, file: string): string {
  const path = join(folder, file);
  return existsSync(path) ? path : findAbove(dirname(folder), file);
}

async function stop(child: ChildProcess, exited: Promise<number | null>): Promise<number | null> {
  child.kill('SIGINT');
  const timer = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS);
  const code = await exited;
  clearTimeout(timer);
  return code;
}

/** Runs a command of the binary to its end; `onSpawn` gets the way to kill it before. The code is null where it was killed. */
export async function runTallystick(
  args: readonly string[],
  env: Record<string, string>,
  onSpawn: (kill: () => void) => void = () => undefined,
): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const child = spawn(process.execPath, [PROGRAM, ...args], {
    env: { ...process.env, LOG_LEVEL: 'warn', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  onSpawn(() => child.kill('SIGKILL'));
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  return { code, stdout, stderr };
}
