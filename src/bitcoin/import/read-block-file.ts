import { open, readFile, stat, type FileHandle } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { NetworkName } from '../network.js';
import { checkProofOfWork, HEADER_BYTES, parseHeader, powLimitOf } from '../scan/parse-header.js';
import { MAX_BLOCK_BYTES } from '../scan/read-block.js';
import { NETWORK_MAGIC } from './network-magic.js';

/** Where a block stands, with its header: the block itself is read when its turn comes. */
export interface BlockPlaceInFile {
  offset: number;
  length: number;
  header: Uint8Array;
}

/** Something in a file that is no block of this network. */
export interface FileTrouble {
  kind: 'foreign-network' | 'torn' | 'garbage' | 'no-blocks';
  offset: number;
  detail: string;
}

/** A file that can be read anywhere, its obfuscation taken off. */
export interface BlockFile {
  readonly path: string;
  readonly size: number;
  read(offset: number, length: number): Promise<Buffer>;
  close(): Promise<void>;
}

const READ_BYTES = 1 << 20;
/** Magic and length. */
const FRAME_BYTES = 8;
/** A block as text: two digits a byte, and line breaks. */
const MAX_HEX_BYTES = 2 * MAX_BLOCK_BYTES + 4096;
const XOR_KEY_BYTES = 8;

/**
 * Opens a file of blocks. Newer Bitcoin Core stores blk*.dat XORed with the 8 bytes of `xor.dat` beside them (all zero where it
 * is switched off), repeated from the beginning of each file. A file with the blocks of one hex text is read as its bytes.
 */
export async function openBlockFile(path: string): Promise<BlockFile> {
  const handle = await open(path, 'r');
  try {
    const { size } = await handle.stat();
    const text = size <= MAX_HEX_BYTES ? await hexBytes(handle, size) : undefined;
    if (text) {
      await handle.close();
      return {
        path,
        size: text.length,
        read: (offset, length) => Promise.resolve(text.subarray(offset, offset + length)),
        close: () => Promise.resolve(),
      };
    }
    const key = /^blk\d+\.dat$/.test(path.slice(dirname(path).length + 1)) ? await xorKey(dirname(path)) : undefined;
    return { path, size, read: (offset, length) => readAt(handle, offset, length, key), close: () => handle.close() };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

async function readAt(handle: FileHandle, offset: number, length: number, key: Buffer | undefined): Promise<Buffer> {
  const buffer = Buffer.alloc(length);
  let filled = 0;
  while (filled < length) {
    const { bytesRead } = await handle.read(buffer, filled, length - filled, offset + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  if (key) for (let i = 0; i < filled; i++) buffer[i] = (buffer[i] ?? 0) ^ (key[(offset + i) % XOR_KEY_BYTES] ?? 0);
  return buffer.subarray(0, filled);
}

async function xorKey(directory: string): Promise<Buffer | undefined> {
  const path = join(directory, 'xor.dat');
  const isThere = await stat(path).then(
    () => true,
    () => false,
  );
  if (!isThere) return undefined;
  const key = await readFile(path);
  return key.length === XOR_KEY_BYTES && key.some((byte) => byte !== 0) ? key : undefined;
}

async function hexBytes(handle: FileHandle, size: number): Promise<Buffer | undefined> {
  const start = (await readAt(handle, 0, Math.min(size, 2 * HEADER_BYTES), undefined)).toString('latin1');
  if (!/^[0-9a-fA-F\s]{16,}$/.test(start)) return undefined;
  const text = (await readAt(handle, 0, size, undefined)).toString('latin1').replace(/\s+/g, '');
  return /^([0-9a-fA-F]{2})+$/.test(text) ? Buffer.from(text, 'hex') : undefined;
}

/**
 * Finds the blocks of a file: one raw block, or a row of frames (magic, length, block) with whatever may stand between them:
 * zeros that the node has reserved, the torn end of a crash, rubbish. Reads a megabyte at a time, and of each block the header only.
 */
export async function* findBlocks(
  file: BlockFile,
  network: NetworkName,
): AsyncGenerator<{ block: BlockPlaceInFile } | { trouble: FileTrouble }> {
  const magic = Buffer.from(NETWORK_MAGIC[network], 'hex');
  const others = Object.entries(NETWORK_MAGIC).filter(([name]) => name !== network);
  const first = await file.read(0, Math.min(file.size, HEADER_BYTES));
  if (isRawBlock(first)) {
    if (file.size >= HEADER_BYTES + 1 && file.size <= MAX_BLOCK_BYTES) {
      yield { block: { offset: 0, length: file.size, header: Uint8Array.from(first) } };
    } else yield { trouble: { kind: 'garbage', offset: 0, detail: `${file.size} bytes are no block` } };
    return;
  }
  let found = 0;
  for (let offset = 0; offset + FRAME_BYTES < file.size;) {
    const chunk = await file.read(offset, READ_BYTES);
    const at = chunk.indexOf(magic);
    const end = at === -1 ? chunk.length : at;
    const stranger = others.find(([, other]) => chunk.subarray(0, end).includes(other, 0, 'hex'));
    const skipped = chunk.subarray(0, end);
    if (stranger) {
      const detail = `blocks of ${stranger[0]}`;
      yield { trouble: { kind: 'foreign-network', offset, detail } };
    } else if (skipped.some((byte) => byte !== 0) && end > magic.length) {
      yield { trouble: { kind: 'garbage', offset, detail: `${end} bytes are not blocks` } };
    }
    if (at === -1) {
      // The magic may stand across the end of the chunk.
      offset += Math.max(1, chunk.length - (magic.length - 1));
      if (chunk.length < READ_BYTES) break;
      continue;
    }
    offset += at;
    const frame = await file.read(offset, FRAME_BYTES + HEADER_BYTES);
    const length = frame.length >= FRAME_BYTES ? frame.readUInt32LE(4) : 0;
    const begin = offset + FRAME_BYTES;
    if (length <= HEADER_BYTES || length > MAX_BLOCK_BYTES) {
      yield { trouble: { kind: 'garbage', offset, detail: `a block cannot have ${length} bytes` } };
      offset += magic.length;
    } else if (begin + length > file.size) {
      const detail = `${length} bytes are announced, ${file.size - begin} are there`;
      yield { trouble: { kind: 'torn', offset, detail } };
      offset += magic.length;
    } else {
      found += 1;
      yield { block: { offset: begin, length, header: Uint8Array.from(frame.subarray(FRAME_BYTES)) } };
      offset = begin + length;
    }
  }
  if (found === 0) yield { trouble: { kind: 'no-blocks', offset: 0, detail: `no block of ${network}` } };
}

/** Whether a file begins with a header instead of a frame: rubbish has no proof of work, not even regtest's. */
function isRawBlock(bytes: Buffer): boolean {
  if (bytes.length < HEADER_BYTES) return false;
  const begin = bytes.toString('hex', 0, 4);
  return !Object.values(NETWORK_MAGIC).includes(begin) && checkProofOfWork(parseHeader(bytes), powLimitOf('regtest'));
}
