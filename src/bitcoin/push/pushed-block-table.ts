import type pg from 'pg';
import { RetryableError } from '../../platform/errors.js';
import type { BlockInvalid } from '../scan-types.js';

export interface KeptBlock {
  /** Grows in the order in which they came; undefined for one that this process kept itself and has not read again. */
  seq: bigint | undefined;
  hash: string;
  prevHash: string;
  height: number;
  /** From the start of the ledger's chain up to and with this block. */
  chainWork: bigint;
  header: Uint8Array;
  invalid: BlockInvalid | undefined;
}

/** The table `pushed_block` of one ledger. All of it throws RetryableError when the database is away. */
export interface PushedBlockTable {
  /** Everything but the raw blocks, in the order they came; those with a higher number only. */
  load(afterSeq: bigint): Promise<KeptBlock[]>;
  /** Durable when it resolves; does nothing for a block that is there. */
  insert(block: KeptBlock, raw: Uint8Array): Promise<void>;
  /** Undefined where it is not there. */
  raw(hashes: readonly string[]): Promise<(Uint8Array | undefined)[]>;
  markInvalid(hash: string, invalid: BlockInvalid): Promise<void>;
  delete(hashes: readonly string[]): Promise<void>;
}

interface Row {
  seq: bigint;
  hash: Buffer;
  prev_hash: Buffer;
  height: number;
  chain_work: string;
  header: Buffer;
  invalid: BlockInvalid | null;
}

export function createPushedBlockTable(pool: pg.Pool, ledger: string): PushedBlockTable {
  const query = async <R extends pg.QueryResultRow>(name: string, text: string, values: unknown[]): Promise<R[]> => {
    try {
      return (await pool.query<R>({ name, text, values: [ledger, ...values] })).rows;
    } catch (error) {
      throw new RetryableError('The table of pushed blocks cannot be used.', { query: name }, { cause: error });
    }
  };
  const bytes = (hash: string): Buffer => Buffer.from(hash, 'hex');
  return {
    async load(afterSeq) {
      const rows = await query<Row>(
        'pushed-block-load',
        `SELECT seq, hash, prev_hash, height, chain_work, header, invalid FROM pushed_block
         WHERE ledger = $1 AND seq > $2 ORDER BY seq`,
        [afterSeq],
      );
      return rows.map((row) => ({
        seq: row.seq,
        hash: row.hash.toString('hex'),
        prevHash: row.prev_hash.toString('hex'),
        height: row.height,
        chainWork: BigInt(row.chain_work),
        header: row.header,
        invalid: row.invalid ?? undefined,
      }));
    },
    async insert({ hash, prevHash, height, chainWork, header, invalid }, raw) {
      await query(
        'pushed-block-insert',
        `INSERT INTO pushed_block (ledger, hash, prev_hash, height, chain_work, header, raw, invalid)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING`,
        [bytes(hash), bytes(prevHash), height, String(chainWork), header, raw, invalid ?? null],
      );
    },
    async raw(hashes) {
      const rows = await query<{ hash: Buffer; raw: Buffer }>(
        'pushed-block-raw',
        `SELECT hash, raw FROM pushed_block WHERE ledger = $1 AND hash = ANY($2)`,
        [hashes.map(bytes)],
      );
      const byHash = new Map(rows.map(({ hash, raw }) => [hash.toString('hex'), raw]));
      return hashes.map((hash) => byHash.get(hash));
    },
    async markInvalid(hash, invalid) {
      await query('pushed-block-invalid', `UPDATE pushed_block SET invalid = $3 WHERE ledger = $1 AND hash = $2`, [
        bytes(hash),
        invalid,
      ]);
    },
    async delete(hashes) {
      await query('pushed-block-delete', `DELETE FROM pushed_block WHERE ledger = $1 AND hash = ANY($2)`, [
        hashes.map(bytes),
      ]);
    },
  };
}
