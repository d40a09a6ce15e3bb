#!/usr/bin/env node
/**
 * Installs the real parts that `npm run test:real` talks to, at pinned versions, into `.parts/` (or TALLYSTICK_PARTS).
 * Nothing here is needed for `npm test` or for running Tallystick. Running it twice does nothing the second time.
 *
 *   node scripts/parts.mjs                           say what is there
 *   node scripts/parts.mjs btcd kernel toxiproxy     install these (or `all`)
 *   node scripts/parts.mjs cdc                       the broker, Kafka Connect and Debezium, as `npm run stack` runs them
 *
 * Exit code 0: everything asked for is there. 1: something is missing, and the last lines say what.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = resolve(fileURLToPath(new URL('..', import.meta.url)));
const directory = resolve(root, process.env.TALLYSTICK_PARTS ?? '.parts');

/** A cold `go install` of btcd takes 40 s on two cores; a stuck download must not hang CI for ever. */
const INSTALL_TIMEOUT_MS = 15 * 60_000;

/** Oldest Python that the kernel's wheel takes. */
const PYTHON_MINIMUM = [3, 10];

/** Kafka 4 runs on Java 17 and later. */
const JAVA_MINIMUM = 17;

class PartMissing extends Error {}

function run(command, args, options = {}) {
  const result = spawnSync(command, args, {
    encoding: 'utf8',
    timeout: INSTALL_TIMEOUT_MS,
    maxBuffer: 64 * 1024 * 1024,
    ...options,
    env: { ...process.env, ...options.env },
  });
  if (result.error) throw new PartMissing(`${command} could not be run: ${result.error.message}`);
  if (result.status !== 0) {
    const said = `${result.stdout ?? ''}${result.stderr ?? ''}`.trim().split('\n').slice(-15).join('\n');
    throw new PartMissing(`${command} ${args.join(' ')} ended with ${result.status ?? result.signal}:\n${said}`);
  }
  return result.stdout;
}

function answers(command, args) {
  const result = spawnSync(command, args, { encoding: 'utf8', timeout: 30_000 });
  return result.error || result.status !== 0 ? undefined : result.stdout;
}

function needGo() {
  if (answers('go', ['version']) === undefined) {
    throw new PartMissing('Go is not installed or not in PATH (https://go.dev/dl/, 1.24 or later).');
  }
}

function needPython() {
  for (const command of [process.env.PYTHON ?? 'python3', 'python3', 'python']) {
    const version = answers(command, ['-c', 'import sys; print(*sys.version_info[:2])']);
    if (version === undefined) continue;
    const [major, minor] = version.trim().split(' ').map(Number);
    if (major > PYTHON_MINIMUM[0] || (major === PYTHON_MINIMUM[0] && minor >= PYTHON_MINIMUM[1])) return command;
  }
  throw new PartMissing(`Python ${PYTHON_MINIMUM.join('.')} or later is not in PATH (set PYTHON to name one).`);
}

function needJava() {
  // It says its version on standard error: "17.0.15", or "1.8.0_402" in the old way of counting.
  const said = spawnSync('java', ['-version'], { encoding: 'utf8', timeout: 30_000 });
  const major = Number(/version "(?:1\.)?(\d+)/.exec(said.stderr ?? '')?.[1]);
  if (said.error || !(major >= JAVA_MINIMUM)) {
    const found = Number.isInteger(major) ? `java in PATH is version ${major}` : 'java is not in PATH';
    throw new PartMissing(
      `Java ${JAVA_MINIMUM} or later is needed, and ${found} (https://adoptium.net, or apt install openjdk-17-jre-headless).`,
    );
  }
  if (answers('mvn', ['-v']) === undefined) {
    throw new PartMissing('Maven is not in PATH (https://maven.apache.org, or apt install maven).');
  }
}

/** A part counts as installed when its files are there and the stamp, written last, has the pinned version. */
const stampOf = (name) => join(directory, `${name}.version`);
const stampIs = (name, version) => existsSync(stampOf(name)) && readFileSync(stampOf(name), 'utf8').trim() === version;

/** Builds Go programs in a scratch folder and moves them into `bin` complete, under the names that tests look for. */
function installGoPrograms(programs) {
  needGo();
  mkdirSync(join(directory, 'bin'), { recursive: true });
  const scratch = mkdtempSync(join(directory, 'build-'));
  try {
    for (const { module, built, name } of programs) {
      run('go', ['install', module], { env: { GOBIN: scratch, GOFLAGS: '-trimpath' }, cwd: scratch });
      renameSync(join(scratch, built), join(directory, 'bin', name));
    }
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

const pom = join(root, 'debezium', 'pom.xml');

/** The versions are in the pom: whatever changes there is another part. */
function pomVersion() {
  const text = readFileSync(pom, 'utf8');
  const version = (name) => new RegExp(`<${name}\\.version>(.*?)<`).exec(text)[1];
  const hash = createHash('sha256').update(text).digest('hex').slice(0, 8);
  return `debezium-${version('debezium')}-kafka-${version('kafka')}-${hash}`;
}

const parts = {
  btcd: {
    what: 'Bitcoin full node in Go',
    version: 'v0.26.2',
    files: ['bin/btcd'],
    install(version) {
      installGoPrograms([{ module: `github.com/btcsuite/btcd@${version}`, built: 'btcd', name: 'btcd' }]);
    },
  },
  toxiproxy: {
    what: 'faults on the wire',
    version: 'v2.5.0',
    files: ['bin/toxiproxy-server', 'bin/toxiproxy-cli'],
    install(version) {
      installGoPrograms([
        { module: `github.com/Shopify/toxiproxy/v2/cmd/server@${version}`, built: 'server', name: 'toxiproxy-server' },
        { module: `github.com/Shopify/toxiproxy/v2/cmd/cli@${version}`, built: 'cli', name: 'toxiproxy-cli' },
      ]);
    },
  },
  kernel: {
    what: "Bitcoin Core's validation engine, as a Python wheel",
    version: '0.1.0a5',
    files: ['kernel/bin/python'],
    install(version) {
      const python = needPython();
      const venv = join(directory, 'kernel');
      rmSync(venv, { recursive: true, force: true });
      run(python, ['-m', 'venv', venv]);
      // Only pre-releases exist: without --pre pip says that there is no such package.
      const pip = ['-m', 'pip', 'install', '--disable-pip-version-check', '--quiet', '--pre'];
      run(join(venv, 'bin/python'), [...pip, `py-bitcoinkernel==${version}`]);
      run(join(venv, 'bin/python'), ['-c', 'import pbk']);
    },
  },
  schemathesis: {
    what: 'fuzzer of REST and GraphQL APIs, by their schemas',
    version: '4.32.5',
    files: ['schemathesis/bin/schemathesis'],
    install(version) {
      const venv = join(directory, 'schemathesis');
      rmSync(venv, { recursive: true, force: true });
      run(needPython(), ['-m', 'venv', venv]);
      const pip = ['-m', 'pip', 'install', '--disable-pip-version-check', '--quiet'];
      run(join(venv, 'bin/python'), [...pip, `schemathesis==${version}`]);
    },
  },
  consumer: {
    what: 'Python with a Kafka and a PostgreSQL client, for the worked consumer',
    version: 'kafka-python-2.3.3-pg8000-1.31.6',
    files: ['consumer/bin/python'],
    install() {
      const venv = join(directory, 'consumer');
      rmSync(venv, { recursive: true, force: true });
      run(needPython(), ['-m', 'venv', venv]);
      const pip = ['-m', 'pip', 'install', '--disable-pip-version-check', '--quiet'];
      run(join(venv, 'bin/python'), [...pip, 'kafka-python==2.3.3', 'pg8000==1.31.6']);
    },
  },
  cdc: {
    what: 'Kafka broker, Kafka Connect and Debezium, from debezium/pom.xml',
    version: pomVersion(),
    files: ['cdc/lib', 'cdc/plugins/debezium-postgres'],
    install() {
      needJava();
      const scratch = mkdtempSync(join(directory, 'cdc-'));
      try {
        run('mvn', ['-q', '-B', '-f', pom, `-Dparts=${scratch}`, 'package']);
        rmSync(join(scratch, 'target'), { recursive: true, force: true });
        rmSync(join(directory, 'cdc'), { recursive: true, force: true });
        renameSync(scratch, join(directory, 'cdc'));
      } finally {
        rmSync(scratch, { recursive: true, force: true });
      }
    },
  },
};

function isInstalled(name) {
  const { version, files } = parts[name];
  return stampIs(name, version) && files.every((file) => existsSync(join(directory, file)));
}

function install(name) {
  const { version, what } = parts[name];
  if (isInstalled(name)) return console.log(`${name} ${version}: already there`);
  console.log(`${name} ${version} (${what}): installing into ${directory}`);
  mkdirSync(directory, { recursive: true });
  parts[name].install(version);
  writeFileSync(stampOf(name), `${version}\n`);
  console.log(`${name} ${version}: installed`);
}

function main(asked) {
  if (asked.length === 0) {
    for (const name of Object.keys(parts)) {
      console.log(
        `${name} ${parts[name].version} (${parts[name].what}): ${isInstalled(name) ? 'installed' : 'not there'}`,
      );
    }
    return 0;
  }
  const names = asked.includes('all') ? Object.keys(parts) : asked;
  const unknown = names.filter((name) => !Object.hasOwn(parts, name));
  if (unknown.length > 0) {
    console.error(`No such part: ${unknown.join(', ')}. There are: ${Object.keys(parts).join(', ')}, all.`);
    return 1;
  }
  const missing = [];
  for (const name of names) {
    try {
      install(name);
    } catch (error) {
      if (!(error instanceof PartMissing)) throw error;
      missing.push(`${name}: ${error.message}`);
    }
  }
  if (missing.length > 0) console.error(`\nNot installed:\n${missing.join('\n')}`);
  return missing.length > 0 ? 1 : 0;
}

process.exitCode = main(process.argv.slice(2));
