import { workOf } from '../../domain/work.js';
import { invariant } from '../../platform/assert.js';
import type { ConnectedChain } from '../follow/chain-index.js';
import { HEADER_BYTES, parseHeader } from '../scan/parse-header.js';
import { createSlotTable } from '../scan/slot-table.js';

/** Header, file, offset in two words, length. */
const RECORD_BYTES = HEADER_BYTES + 16;
const CHUNK_RECORDS = 1 << 14;

export interface IndexedBlock {
  hash: string;
  header: Uint8Array;
  file: number;
  offset: number;
  length: number;
}

/** The blocks of all files, by hash: 96 bytes and 8 to 32 for the slot each, 128 MiB at most for a million. */
export interface BlockFileIndex {
  readonly size: number;
  /** Returns false for a block that is there already. */
  add(hash: string, block: Omit<IndexedBlock, 'hash'>): boolean;
  find(hash: string): IndexedBlock | undefined;
  strikeOut(hash: string): void;
  /** The branch with the most work on top of what is connected, and what is beside it. */
  bestBranch(chain: ConnectedChain): BestBranch;
}

export interface BestBranch {
  /** Blocks above the connected chain. */
  length: number;
  /** Hash of one of them, 0 for the oldest. */
  hashAt(index: number): string | undefined;
  /** Height of the connected block that the branch stands on. */
  forkHeight: number;
  /** Blocks that are connected already. */
  connected: number;
  /** Blocks on top of the connected chain, or of its past, that are not in the branch; those on an invalid block too. */
  stale: number;
  /** Blocks that lead to no connected block. */
  foreign: number;
}

export function createBlockFileIndex(): BlockFileIndex {
  const chunks: Buffer[] = [];
  const table = createSlotTable();
  const struckOut = new Set<string>();
  let size = 0;

  const record = (number: number): Buffer => {
    const chunk = chunks[Math.floor(number / CHUNK_RECORDS)];
    invariant(chunk, 'a number names a record');
    const at = (number % CHUNK_RECORDS) * RECORD_BYTES;
    return chunk.subarray(at, at + RECORD_BYTES);
  };
  const hashOf = (number: number): string => parseHeader(record(number)).hash;
  /** The digits that proof of work leaves random. */
  const shortHash = (hash: string): number => parseInt(hash.slice(-8), 16);
  const numberOf = (hash: string): number => {
    const short = shortHash(hash);
    for (let slot = table.start(short); ; slot = table.next(slot)) {
      const reference = table.reference(slot);
      if (reference === 0) return -1;
      if (table.hash(slot) === short && hashOf(reference - 1) === hash) return reference - 1;
    }
  };

  return {
    get size() {
      return size;
    },
    add(hash, { header, file, offset, length }) {
      if (numberOf(hash) !== -1) return false;
      if (size === chunks.length * CHUNK_RECORDS) chunks.push(Buffer.alloc(CHUNK_RECORDS * RECORD_BYTES));
      const bytes = record(size);
      bytes.set(header);
      bytes.writeUInt32LE(file, HEADER_BYTES);
      bytes.writeUIntLE(offset, HEADER_BYTES + 4, 6);
      bytes.writeUInt32LE(length, HEADER_BYTES + 10);
      size += 1;
      table.insert(shortHash(hash), size);
      return true;
    },
    find(hash) {
      const number = numberOf(hash);
      if (number === -1) return undefined;
      const bytes = record(number);
      return {
        hash,
        header: bytes.subarray(0, HEADER_BYTES),
        file: bytes.readUInt32LE(HEADER_BYTES),
        offset: bytes.readUIntLE(HEADER_BYTES + 4, 6),
        length: bytes.readUInt32LE(HEADER_BYTES + 10),
      };
    },
    strikeOut: (hash) => void struckOut.add(hash),
    bestBranch(chain) {
      /** Number of the parent, or -1. */
      const parents = new Int32Array(size).fill(-1);
      const works: (bigint | undefined)[] = new Array<undefined>(size).fill(undefined);
      const kinds = new Uint8Array(size);
      let best = { number: -1, work: chain.workAt(chain.tip.height) };

      /** What is known of a block from itself and the connected chain; undefined where its parent decides. */
      const judge = (number: number): number | undefined => {
        const { hash, prevHash, bits } = parseHeader(record(number));
        if (struckOut.has(hash)) return STRUCK_OUT;
        const height = chain.heightOf(hash);
        if (height !== undefined) {
          works[number] = chain.workAt(height);
          return CONNECTED;
        }
        const below = chain.heightOf(prevHash);
        if (below !== undefined) {
          works[number] = chain.workAt(below) + workOf(bits);
          return REACHABLE;
        }
        parents[number] = numberOf(prevHash);
        return parents[number] === -1 ? FOREIGN : undefined;
      };
      for (let number = 0; number < size; number++) {
        // Parents may come after their children in the files: down to what is known, then up again.
        const way: number[] = [];
        for (let at = number; at !== -1 && kinds[at] === UNKNOWN; at = parents[at] ?? -1) {
          way.push(at);
          const kind = judge(at);
          if (kind === undefined) continue;
          kinds[at] = kind;
          break;
        }
        for (const at of way.reverse()) {
          const parent = parents[at] ?? -1;
          if (kinds[at] === UNKNOWN) {
            const below = kinds[parent] ?? FOREIGN;
            kinds[at] = below === FOREIGN ? FOREIGN : below === STRUCK_OUT || below === DEAD ? DEAD : REACHABLE;
            const work = works[parent];
            if (work !== undefined) works[at] = work + workOf(parseHeader(record(at)).bits);
          }
          const work = works[at];
          if (work !== undefined && work > best.work) best = { number: at, work };
        }
      }

      const numbers: number[] = [];
      for (let at = best.number; at !== -1 && kinds[at] === REACHABLE; at = parents[at] ?? -1) numbers.push(at);
      numbers.reverse();
      const lowest = numbers[0];
      const count = (kind: number): number => kinds.reduce((sum, of) => (of === kind ? sum + 1 : sum), 0);
      return {
        length: numbers.length,
        hashAt: (index) => {
          const number = numbers[index];
          return number === undefined ? undefined : hashOf(number);
        },
        forkHeight:
          lowest === undefined ? chain.tip.height : (chain.heightOf(parseHeader(record(lowest)).prevHash) ?? 0),
        connected: count(CONNECTED),
        stale: count(REACHABLE) - numbers.length + count(DEAD),
        foreign: count(FOREIGN),
      };
    },
  };
}

const UNKNOWN = 0;
const CONNECTED = 1;
/** On top of a connected block. */
const REACHABLE = 2;
const FOREIGN = 3;
/** Not valid itself. */
const STRUCK_OUT = 4;
/** On top of a block that is not valid. */
const DEAD = 5;
