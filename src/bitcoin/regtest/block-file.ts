import { fsyncSync, ftruncateSync, readSync } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import { FatalError } from '../../platform/errors.js';
import { parseBlock, type ParsedBlock } from './block.js';
import { syncDirectory, writeFully } from './durable-file.js';
import { MAX_BLOCK_BYTES, REGTEST_MAGIC } from './parameters.js';
import { isChainRejection } from './rejection.js';

const PREFIX_BYTES = 8;

export interface Place {
  offset: number;
  length: number;
}

export interface BlockFile {
  /** Calls back for every block of the file in order, and cuts a torn tail off. Returns how many bytes were cut. */
  replay(onBlock: (block: ParsedBlock, place: Place) => Promise<void> | void): Promise<number>;
  /** Writes blocks one after the other and returns when they are safe on disk. After an error nothing more is written. */
  append(blocks: readonly Uint8Array[]): Place[];
  read(place: Place): Promise<Uint8Array>;
  readNow(place: Place): Uint8Array;
  close(): Promise<void>;
}

/**
 * Every block ever seen, in the order of arrival, framed as in Bitcoin Core's blk*.dat files: magic, length (little-endian),
 * raw block. The file is only ever appended to, by synchronous calls: no reader can see a block that is not on disk yet.
 */
export async function openBlockFile(path: string): Promise<BlockFile> {
  const file = await openForAppending(path);
  let end = 0;
  let failed = false;

  function append(blocks: readonly Uint8Array[]): Place[] {
    if (failed) throw new FatalError('The block file could not be written to before; open the chain again.', { path });
    const places: Place[] = [];
    let offset = end;
    for (const block of blocks) {
      places.push({ offset: offset + PREFIX_BYTES, length: block.length });
      offset += PREFIX_BYTES + block.length;
    }
    try {
      writeFully(file.fd, Buffer.concat(blocks.flatMap((block) => [prefixOf(block.length), block])), end);
      fsyncSync(file.fd);
    } catch (error) {
      // What is on disk now is unknown. Opening the file again finds out: a torn record is cut off.
      failed = true;
      throw new FatalError('A block could not be written to disk.', { path, end }, { cause: error });
    }
    end = offset;
    return places;
  }

  async function replay(onBlock: (block: ParsedBlock, place: Place) => Promise<void> | void): Promise<number> {
    const { size } = await file.stat();
    for (;;) {
      const record = readRecord(file.fd, end, size);
      if (!record) break;
      await onBlock(record.block, record.place);
      end = record.place.offset + record.place.length;
    }
    const torn = size - end;
    if (torn > 0) {
      refuseDamageInTheMiddle(file.fd, path, end, size);
      ftruncateSync(file.fd, end);
      fsyncSync(file.fd);
    }
    return torn;
  }

  return {
    replay,
    append,
    readNow: (place) => readExactly(file.fd, place.offset, place.length),
    async read({ offset, length }) {
      const bytes = Buffer.allocUnsafe(length);
      const { bytesRead } = await file.read(bytes, 0, length, offset);
      if (bytesRead !== length)
        throw new FatalError('The block file is shorter than it was.', { path, offset, length });
      return bytes;
    },
    close: () => file.close(),
  };
}

async function openForAppending(path: string): Promise<FileHandle> {
  // Not 'a+': there, positions of writes are ignored, and a failed write could not be told from a good one.
  const file = await open(path, 'r+').catch(async (error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error;
    return open(path, 'wx+', 0o600);
  });
  syncDirectory(dirname(path));
  return file;
}

function prefixOf(length: number): Buffer {
  const prefix = Buffer.alloc(PREFIX_BYTES);
  prefix.set(REGTEST_MAGIC);
  prefix.writeUInt32LE(length, REGTEST_MAGIC.length);
  return prefix;
}

function readExactly(fd: number, offset: number, length: number): Buffer {
  const bytes = Buffer.allocUnsafe(length);
  let read = 0;
  while (read < length) {
    const count = readSync(fd, bytes, read, length - read, offset + read);
    if (count === 0) throw new FatalError('The block file is shorter than it was.', { offset, length });
    read += count;
  }
  return bytes;
}

/** The record at `offset`, or undefined where there is no whole and undamaged one. */
function readRecord(fd: number, offset: number, size: number): { block: ParsedBlock; place: Place } | undefined {
  if (offset + PREFIX_BYTES > size) return undefined;
  const prefix = readExactly(fd, offset, PREFIX_BYTES);
  const length = prefix.readUInt32LE(REGTEST_MAGIC.length);
  const start = offset + PREFIX_BYTES;
  const isWhole =
    prefix.subarray(0, REGTEST_MAGIC.length).equals(REGTEST_MAGIC) &&
    length <= MAX_BLOCK_BYTES &&
    start + length <= size;
  if (!isWhole) return undefined;
  const block = parseBlock(readExactly(fd, start, length));
  return isChainRejection(block) ? undefined : { block, place: { offset: start, length } };
}

const SEARCH_BYTES = 1024 * 1024;

/**
 * A crash leaves a damaged end. A good block after the damage means that something else happened (a disk error, an
 * editor), and cutting there would silently throw away blocks that have been reported as safe.
 */
function refuseDamageInTheMiddle(fd: number, path: string, damagedAt: number, size: number): void {
  for (let from = damagedAt + 1; from < size; from += SEARCH_BYTES) {
    const window = readExactly(fd, from, Math.min(SEARCH_BYTES + REGTEST_MAGIC.length - 1, size - from));
    for (let at = window.indexOf(REGTEST_MAGIC); at >= 0; at = window.indexOf(REGTEST_MAGIC, at + 1)) {
      if (!readRecord(fd, from + at, size)) continue;
      throw new FatalError(
        `The block file is damaged in the middle: no block can be read at byte ${damagedAt}, but one at byte ${from + at}. ` +
          'Put the file back from a copy, or remove the directory to begin a new chain.',
        { path, damagedAt, next: from + at },
      );
    }
  }
}
