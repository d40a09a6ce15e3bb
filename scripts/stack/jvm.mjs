import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DEBEZIUM, partFile } from './parts.mjs';
import { StackError } from './processes.mjs';

/**
 * Arguments of a Java program of the part `cdc`. SerialGC: with the heaps that are enough here, G1 did nothing but collect.
 *
 * @param dir the stack's folder: in the command line, by which the process is known as ours
 * @param keepTo the file in which it is to keep its classes when it ends: see `keepingClasses`
 */
export function javaArgs({ dir, heapMb, quickStart, main, args, keepTo }) {
  return [
    ...(keepTo !== undefined ? [`-XX:ArchiveClassesAtExit=${keepTo}`, '-Xlog:cds*=off'] : []),
    // Where the JVM finds that it does not fit, it goes without.
    ...(keepTo === undefined && hasClasses(main) ? [`-XX:SharedArchiveFile=${classesOf(main)}`] : []),
    `-Xmx${heapMb}m`,
    '-XX:+UseSerialGC',
    '-XX:+ExitOnOutOfMemoryError',
    // A second faster to start, and half as fast under load: for tests.
    ...(quickStart ? ['-XX:TieredStopAtLevel=1'] : []),
    `-Dtallystick.stack=${dir}`,
    `-Dlog4j2.configurationFile=${join(DEBEZIUM, 'log4j2.yaml')}`,
    '-cp',
    join(partFile('cdc/lib'), '*'),
    main,
    ...args,
  ];
}

/**
 * The classes of a program as its JVM has read and linked them, in a file that the next JVM maps into memory ("class data sharing"): a
 * start in half the time, of the broker 1.5 s instead of 2.8, of Connect 1.8 instead of 3.5. It goes when the part is installed anew.
 */
function classesOf(main) {
  return join(partFile('cdc'), `${main}-${javaVersion()}.jsa`);
}

export function hasClasses(main) {
  return existsSync(classesOf(main));
}

/**
 * Lets `use` start the program with `keepTo` and end it. What it has kept by then is what later starts take; a JVM that cannot do that
 * keeps nothing.
 */
export async function keepingClasses(main, use) {
  const keepTo = `${classesOf(main)}.${process.pid}`;
  try {
    await use(keepTo);
    if (existsSync(keepTo)) renameSync(keepTo, classesOf(main));
  } finally {
    rmSync(keepTo, { force: true });
  }
}

let version;
function javaVersion() {
  if (version === undefined) {
    const { status, stderr, error } = spawnSync('java', ['-version'], { encoding: 'utf8' });
    if (status !== 0) throw new StackError(`java does not run: ${error?.message ?? stderr}`);
    version = createHash('sha256').update(stderr).digest('hex').slice(0, 12);
  }
  return version;
}

/** A properties file of `debezium/` with lines of the stack's own at its end: a later line wins. */
export function writeProperties(name, file, own) {
  const lines = Object.entries(own).map(([key, value]) => `${key}=${value}`);
  const text = readFileSync(join(DEBEZIUM, name), 'utf8');
  writeFileSync(file, `${text}\n# Of this stack:\n${lines.join('\n')}\n`);
}
