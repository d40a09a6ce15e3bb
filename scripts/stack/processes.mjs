import { spawn } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { commandLineOf, isAlive } from '../../dist/platform/postgres/process-of.js';

/** A JVM under load on a busy machine: what is not up by then will not come up. */
const READY_TIMEOUT_MS = 120_000;
const STOP_TIMEOUT_MS = 30_000;
const POLL_MS = 100;
const LOG_TAIL_LINES = 15;

/** What a person can put right: printed as one line. */
export class StackError extends Error {}

const pidFileOf = (dir, name) => join(dir, `${name}.pid`);
export const logFileOf = (dir, name) => join(dir, `${name}.log`);

/**
 * The pid of a service that runs, undefined where it does not. A pid file whose number belongs to another program by now (the
 * machine was started again) is removed: what runs must have the stack's folder in its command line.
 */
export function findRunning(dir, name) {
  const file = pidFileOf(dir, name);
  if (!existsSync(file)) return undefined;
  const pid = Number(readFileSync(file, 'utf8'));
  if (Number.isInteger(pid) && pid > 1 && isAlive(pid) && (commandLineOf(pid) ?? '').includes(dir)) return pid;
  rmSync(file, { force: true });
  return undefined;
}

/** Starts a program that goes on without us, its output in a log file, its pid in a pid file. */
export function startDetached(dir, name, command, args, options = {}) {
  const log = openSync(logFileOf(dir, name), 'a');
  const child = spawn(command, args, {
    cwd: dir,
    detached: true,
    stdio: ['ignore', log, log],
    ...options,
    env: { ...process.env, ...options.env },
  });
  closeSync(log);
  child.on('error', (error) => writeFileSync(logFileOf(dir, name), `${error.message}\n`, { flag: 'a' }));
  child.unref();
  if (child.pid === undefined) throw new StackError(`${name}: ${command} could not be started`);
  writeFileSync(pidFileOf(dir, name), String(child.pid));
  return child.pid;
}

/** Waits until `check` no longer throws. @throws StackError with the end of the log where the program ended or time is up */
export async function untilReady(dir, name, check) {
  const started = Date.now();
  for (;;) {
    let trouble;
    try {
      return await check();
    } catch (error) {
      trouble = error;
    }
    const ended = findRunning(dir, name) === undefined;
    if (ended || Date.now() - started > READY_TIMEOUT_MS) {
      const why = ended ? 'ended' : `was not ready after ${READY_TIMEOUT_MS / 1000} s (${trouble.message})`;
      const tail = readFileSync(logFileOf(dir, name), 'utf8').trimEnd().split('\n').slice(-LOG_TAIL_LINES).join('\n');
      throw new StackError(`${name} ${why}. The end of ${logFileOf(dir, name)}:\n${tail}`);
    }
    await sleep(POLL_MS);
  }
}

/** Ends a service by its pid, the hard way where it does not listen; resolves when it is gone. True where there was one. */
export async function stopService(dir, name, signal = 'SIGTERM') {
  const pid = findRunning(dir, name);
  if (pid === undefined) return false;
  await endProcess(pid, signal);
  rmSync(pidFileOf(dir, name), { force: true });
  return true;
}

async function endProcess(pid, signal) {
  send(pid, signal);
  const deadline = Date.now() + STOP_TIMEOUT_MS;
  while (isRunning(pid)) {
    if (Date.now() > deadline) send(pid, 'SIGKILL');
    await sleep(POLL_MS / 4);
  }
}

function send(pid, signal) {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if (error.code !== 'ESRCH') throw error;
  }
}

/** A child of ours that ended and was not waited for yet (a zombie) still has its pid, and no command line. */
function isRunning(pid) {
  return isAlive(pid) && (commandLineOf(pid) ?? '') !== '';
}

/** A loopback port that nothing listens on now: the one that is wanted, if it is free. */
export async function pickPort(wanted = 0) {
  return (await tryPort(wanted)) ?? (await tryPort(0));
}

export function tryPort(port) {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', (error) => (error.code === 'EADDRINUSE' ? resolve(undefined) : reject(error)));
    server.listen(port, '127.0.0.1', () => {
      const { port: found } = server.address();
      server.close(() => resolve(found));
    });
  });
}
