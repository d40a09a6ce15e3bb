import { closeSync, existsSync, ftruncateSync, openSync, readFileSync } from 'node:fs';
import { FatalError } from '../../platform/errors.js';
import { replaceFile, writeFully } from './durable-file.js';
import { fromDisplayHex, toDisplayHex } from './hashing.js';
import { MAX_STANDARD_TRANSACTION_WEIGHT, MEMPOOL_LOG_SLACK_BYTES } from './limits.js';
import { parseTransaction, type ParsedTransaction } from './transaction.js';

const ADDED = 1;
const REMOVED = 2;
/** Kind and length. */
const PREFIX_BYTES = 5;
const TXID_BYTES = 32;
/** A transaction that came back out of a block may be longer than what is relayed, but not by its weight. */
const MAX_RECORD_BYTES = MAX_STANDARD_TRANSACTION_WEIGHT * 10;

export interface LoggedTransaction extends ParsedTransaction {
  raw: Uint8Array;
}

export interface MempoolLog {
  /** What the mempool held when the last record was written, in order. */
  readonly loaded: readonly LoggedTransaction[];
  write(change: { added: readonly Uint8Array[]; removed: readonly string[] }): void;
  /** Replaces the whole log. */
  rewrite(all: readonly Uint8Array[]): void;
  /** The log is much longer than `liveBytes` of transactions need. */
  isWasteful(liveBytes: number): boolean;
  close(): void;
}

/**
 * What came into the mempool and went out of it, one record each. Records are written at once, so they survive the death of
 * the process; they are not forced to disk, so a loss of power may cost the last of them, as a mempool may at any time:
 * who sent them sends them again. A torn end is cut off, and transactions are checked against the chain when they are used.
 */
export function openMempoolLog(path: string): MempoolLog {
  if (!existsSync(path)) replaceFile(path, new Uint8Array(), 0o600);
  const { live, length } = readLog(readFileSync(path));
  let fd = openSync(path, 'r+');
  let end = length;
  ftruncateSync(fd, end);

  function append(bytes: Uint8Array): void {
    try {
      writeFully(fd, bytes, end);
    } catch (error) {
      throw new FatalError('The mempool could not be written to disk.', { path, end }, { cause: error });
    }
    end += bytes.length;
  }

  return {
    loaded: live,
    write({ added, removed }) {
      if (added.length + removed.length === 0) return;
      append(
        Buffer.concat([
          ...removed.map((txid) => record(REMOVED, fromDisplayHex(txid))),
          ...added.map((raw) => record(ADDED, raw)),
        ]),
      );
    },
    rewrite(all) {
      const content = Buffer.concat(all.map((raw) => record(ADDED, raw)));
      replaceFile(path, content, 0o600);
      closeSync(fd);
      fd = openSync(path, 'r+');
      end = content.length;
    },
    isWasteful: (liveBytes) => end > liveBytes * 2 + MEMPOOL_LOG_SLACK_BYTES,
    close: () => closeSync(fd),
  };
}

function record(kind: number, bytes: Uint8Array): Buffer {
  const prefix = Buffer.alloc(PREFIX_BYTES);
  prefix[0] = kind;
  prefix.writeUInt32LE(bytes.length, 1);
  return Buffer.concat([prefix, bytes]);
}

function readLog(content: Buffer): { live: LoggedTransaction[]; length: number } {
  const live = new Map<string, LoggedTransaction>();
  let at = 0;
  while (at + PREFIX_BYTES <= content.length) {
    const kind = content[at];
    const length = content.readUInt32LE(at + 1);
    const end = at + PREFIX_BYTES + length;
    if (length > MAX_RECORD_BYTES || end > content.length) break;
    const bytes = Buffer.from(content.subarray(at + PREFIX_BYTES, end));
    if (kind === REMOVED && length === TXID_BYTES) {
      live.delete(toDisplayHex(bytes));
    } else {
      const parsed = kind === ADDED ? parseTransaction(bytes) : undefined;
      if (!parsed) break;
      live.set(parsed.txid, { ...parsed, raw: bytes });
    }
    at = end;
  }
  return { live: [...live.values()], length: at };
}
