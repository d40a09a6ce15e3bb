import { execFile } from 'node:child_process';
import { hash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Block, type Transaction } from 'bitcoinjs-lib';
import type { NetworkName } from '../src/bitcoin/network.js';
import { hashBlock } from '../src/bitcoin/scan/hash-block.js';
import { createOutpointSet } from '../src/bitcoin/scan/outpoint-set.js';
import { readBlock } from '../src/bitcoin/scan/read-block.js';
import { scanBlock } from '../src/bitcoin/scan/scan-block.js';
import { generateBlock, seededRandom } from '../test/support/generated-blocks.js';
import type { BenchRow } from './bench-row.js';
import { medianTimesMs } from './median-times.js';
import type { MemoryAnswer } from './scan-memory.js';
import { WATCHED_SCRIPTS, watchedScripts } from './watched-scripts.js';

const REAL_BLOCK = 'mainnet-2019-05-02-3315tx.raw';
const WATCHED_OUTPOINTS = 100_000;
const MEMORY_GOAL_MIB = 100;
const MEBIBYTE = 2 ** 20;

interface BenchBlock {
  name: string;
  bytes: Uint8Array;
  network: NetworkName;
}

/** The real block where TALLYSTICK_BLOCKS_DIR names a folder that has it, a generated one of 3,000 transactions elsewhere. */
function benchBlock(): BenchBlock {
  const path = join(process.env['TALLYSTICK_BLOCKS_DIR'] ?? '', REAL_BLOCK);
  if (process.env['TALLYSTICK_BLOCKS_DIR'] && existsSync(path)) {
    return { name: 'mainnet block, 3,315 transactions', bytes: readFileSync(path), network: 'mainnet' };
  }
  const shape = { random: seededRandom(1), transactions: 3_000, witnessShare: 0.5, maxInputs: 2, ordinary: true };
  return { name: 'generated block, 3,000 transactions', bytes: generateBlock(shape), network: 'regtest' };
}

/**
 * Scanning one block against bitcoinjs-lib, against hashing alone, and the memory it takes.
 *
 * The reference for hashing alone is the best that a user can do with Node: `crypto.hash` twice for each transaction, on
 * buffers without witness data that were prepared beforehand, the last digest as hex.
 */
export async function runScanBench(options: { quick: boolean }): Promise<BenchRow[]> {
  const block = benchBlock();
  const { name, bytes, network } = block;
  const scripts = watchedScripts();
  const outpoints = createOutpointSet();
  const random = seededRandom(3);
  for (let i = 0; i < WATCHED_OUTPOINTS; i++) {
    const txid = Array.from({ length: 8 }, () =>
      Math.floor(random() * 2 ** 32)
        .toString(16)
        .padStart(8, '0'),
    ).join('');
    outpoints.add(txid, i % 4);
  }
  const layout = readBlock(bytes, { scripts, outpoints });
  if (layout.kind === 'invalid') throw new Error(`the bench's block is invalid: ${layout.detail}`);
  const prepared = (Block.fromBuffer(bytes).transactions ?? []).map(withoutWitness);

  const works = {
    scan: () => expectScanned(scanBlock(bytes, { network, scripts, outpoints }).kind),
    read: () => expectScanned(readBlock(bytes, { scripts, outpoints }).kind),
    hash: () => void hashBlock(bytes, layout),
    txids: () => prepared.forEach((tx) => hash('sha256', hash('sha256', tx, 'buffer'), 'hex')),
    library: () => Block.fromBuffer(bytes).transactions?.forEach((tx) => tx.getId()),
    libraryWithRoots: () => expectScanned(Block.fromBuffer(bytes).checkTxRoots() ? 'scanned' : 'invalid'),
  };
  // Before anything counts, V8 must have compiled the kernel in the background.
  medianTimesMs(works, { warmUp: 0, counted: options.quick ? 3 : 20 });
  await new Promise((resolve) => setTimeout(resolve, 500));
  const times = medianTimesMs(works, options.quick ? { warmUp: 2, counted: 7 } : { warmUp: 10, counted: 41 });

  const memory = await measureMemory(block);
  const usedMiB = (memory.scannedBytes - memory.emptyBytes) / MEBIBYTE;
  const scriptsMiB = (memory.scriptsBytes - memory.emptyBytes) / MEBIBYTE;
  const faster = times.library / times.scan;
  const slower = times.scan / times.txids;
  const scanned = `${ms(times.scan)} (reading ${ms(times.read)}, hashing ${ms(times.hash)})`;
  const watched = `${name}, ${WATCHED_SCRIPTS.toLocaleString('en')} scripts and ${WATCHED_OUTPOINTS.toLocaleString('en')} outpoints watched`;
  return [
    {
      bench: 'scan',
      measure: 'scan with Merkle root, witness commitment and proof of work, against parsing and ids by bitcoinjs-lib',
      value: scanned,
      reference: ms(times.library),
      ratio: rounded(faster),
      goal: 'at least 10 times as fast',
      met: faster >= 10,
      note: watched,
    },
    {
      bench: 'scan',
      measure: 'the same scan, against bitcoinjs-lib parsing and checking the same roots: like for like',
      value: scanned,
      reference: ms(times.libraryWithRoots),
      ratio: rounded(times.libraryWithRoots / times.scan),
      goal: 'at least 10 times as fast',
      met: times.libraryWithRoots / times.scan >= 10,
      note: watched,
    },
    {
      bench: 'scan',
      measure: 'the same scan, against hashing its txids alone with node:crypto on prepared buffers',
      value: scanned,
      reference: ms(times.txids),
      ratio: rounded(slower),
      goal: 'at most 2 times as long',
      met: slower <= 2,
      note: watched,
    },
    {
      bench: 'scan',
      measure: 'memory of a million watched scripts and a scan, above an empty process',
      value: `${usedMiB.toFixed(0)} MiB (scripts alone ${scriptsMiB.toFixed(0)} MiB)`,
      reference: `${(memory.emptyBytes / MEBIBYTE).toFixed(0)} MiB`,
      ratio: rounded(usedMiB / MEMORY_GOAL_MIB),
      goal: `at most ${MEMORY_GOAL_MIB} MiB`,
      met: usedMiB <= MEMORY_GOAL_MIB,
      note: 'resident memory after garbage collection, measured in a process of its own',
    },
  ];
}

const ms = (time: number): string => `${time.toFixed(2)} ms`;
const rounded = (value: number): number => Math.round(value * 100) / 100;

function expectScanned(kind: 'scanned' | 'layout' | 'invalid'): void {
  if (kind === 'invalid') throw new Error("the bench's block is invalid");
}

function withoutWitness(tx: Transaction): Uint8Array {
  const stripped = tx.clone();
  stripped.stripWitnesses();
  return stripped.toBuffer();
}

/** A process of its own that loads nothing but what a scan needs. */
async function measureMemory({ bytes, network }: BenchBlock): Promise<MemoryAnswer> {
  const directory = await mkdtemp(join(tmpdir(), 'tallystick-bench-'));
  try {
    const blockFile = join(directory, 'block');
    await writeFile(blockFile, bytes);
    const script = fileURLToPath(new URL('./scan-memory.js', import.meta.url));
    const { stdout } = await promisify(execFile)(process.execPath, ['--expose-gc', script, blockFile, network]);
    return JSON.parse(stdout) as MemoryAnswer;
  } finally {
    await rm(directory, { recursive: true });
  }
}
