import { readFileSync } from 'node:fs';
import type { NetworkName } from '../src/bitcoin/network.js';

/** Resident memory in bytes, after garbage collection. */
export interface MemoryAnswer {
  /** Of a process that has loaded nothing. */
  emptyBytes: number;
  /** With a million scripts. */
  scriptsBytes: number;
  /** And after scans of a block. */
  scannedBytes: number;
}

const SCANS = 20;

function residentBytes(): number {
  globalThis.gc?.();
  globalThis.gc?.();
  return process.memoryUsage.rss();
}

/** Run as a process of its own: `node --expose-gc scan-memory.js BLOCK-FILE NETWORK` prints a `MemoryAnswer`. */
async function measure(blockFile: string, network: NetworkName): Promise<MemoryAnswer> {
  const emptyBytes = residentBytes();
  // Loaded after the first measurement, because the code is a part of what is measured.
  const { watchedScripts, WATCHED_SCRIPTS } = await import('./watched-scripts.js');
  const { createOutpointSet } = await import('../src/bitcoin/scan/outpoint-set.js');
  const { scanBlock } = await import('../src/bitcoin/scan/scan-block.js');
  const scripts = watchedScripts();
  if (scripts.size !== WATCHED_SCRIPTS) throw new Error(`${scripts.size} scripts are watched`);
  const scriptsBytes = residentBytes();
  const bytes = readFileSync(blockFile);
  const outpoints = createOutpointSet();
  for (let i = 0; i < SCANS; i++) {
    const answer = scanBlock(bytes, { network, scripts, outpoints });
    if (answer.kind === 'invalid') throw new Error(`the block is invalid: ${answer.detail}`);
  }
  return { emptyBytes, scriptsBytes, scannedBytes: residentBytes() };
}

const [, , blockFile = '', network = ''] = process.argv;
process.stdout.write(JSON.stringify(await measure(blockFile, network as NetworkName)));
