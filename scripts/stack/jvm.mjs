import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DEBEZIUM, partFile } from './parts.mjs';

/**
 * Arguments of a Java program of the part `cdc`. SerialGC: with the heaps that are enough here, G1 did nothing but collect.
 *
 * @param dir the stack's folder: in the command line, by which the process is known as ours
 */
export function javaArgs({ dir, heapMb, quickStart, main, args }) {
  return [
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

/** A properties file of `debezium/` with lines of the stack's own at its end: a later line wins. */
export function writeProperties(name, file, own) {
  const lines = Object.entries(own).map(([key, value]) => `${key}=${value}`);
  const text = readFileSync(join(DEBEZIUM, name), 'utf8');
  writeFileSync(file, `${text}\n# Of this stack:\n${lines.join('\n')}\n`);
}
