#!/usr/bin/env node
/**
 * The parts of the distributed mode on this machine, without docker: PostgreSQL, a Kafka broker, Kafka Connect with the connector,
 * and a Bitcoin node (regtest), all on loopback under one folder. They go on when this command has ended.
 *
 *   npm run stack -- up [--dir .stack] [--postgres-port N] [--kafka-port N] [--connect-port N] [--bitcoin-port N] [--only a,b]
 *   npm run stack -- status    what runs, where, and where its log is
 *   npm run stack -- env       the environment with which `tallystick start` uses them, one NAME=value a line
 *   npm run stack -- down      stop everything; the next `up` finds everything as it was
 *
 * Needs Java 17, Maven and Go the first time, for parts that `npm run parts` puts into `.parts/`. Exit code 0: done, or everything
 * runs; 1: something does not, and the last line says what; 2: wrong usage.
 */
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { openStack, SERVICE_NAMES, StackError } from './stack/stack.mjs';

const port = { type: 'string' };
const USAGE = 'usage: npm run stack -- up|status|env|down [--dir folder] [--only postgres,kafka,connect,bitcoin]';

function readArguments() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      dir: { type: 'string', default: '.stack' },
      only: { type: 'string' },
      'postgres-port': port,
      'kafka-port': port,
      'connect-port': port,
      'bitcoin-port': port,
    },
  });
  const ports = {};
  for (const name of SERVICE_NAMES) {
    const text = values[`${name}-port`];
    if (text === undefined) continue;
    if (!/^\d{1,5}$/.test(text) || Number(text) < 1 || Number(text) > 65_535)
      throw new TypeError(`'${text}' is not a port`);
    ports[name] = Number(text);
  }
  const services = values.only?.split(',');
  const unknown = services?.find((name) => !SERVICE_NAMES.includes(name));
  if (unknown !== undefined) throw new TypeError(`no such service: ${unknown}`);
  const [verb] = positionals;
  if (!['up', 'status', 'env', 'down'].includes(verb) || positionals.length !== 1) throw new TypeError(USAGE);
  return { verb, options: { dir: resolve(values.dir), ports, ...(services === undefined ? {} : { services }) } };
}

async function main() {
  const { verb, options } = readArguments();
  // Standard output belongs to `env`.
  const stack = openStack({ ...options, onProgress: (line) => console.error(line) });
  if (verb === 'up') {
    await stack.up();
    console.error('\nUse it with (npm run -s stack -- env prints this again):');
  }
  if (verb === 'down') return await stack.down();
  if (verb === 'status') {
    const wanted = options.services ?? SERVICE_NAMES;
    for (const { name, title, pid, port: at, log } of stack.status()) {
      console.log(`${title}: ${pid === undefined ? 'does not run' : `pid ${pid} on 127.0.0.1:${at}`} (log: ${log})`);
      if (pid === undefined && wanted.includes(name)) process.exitCode = 1;
    }
    return;
  }
  for (const [name, value] of Object.entries(stack.env())) console.log(`${name}=${value}`);
}

main().catch((error) => {
  const usage = error instanceof TypeError;
  console.error(error instanceof StackError || usage ? error.message : error);
  process.exitCode = usage ? 2 : 1;
});
