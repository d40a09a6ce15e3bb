import { badUserInput, ReadError } from '../../errors.js';
import { MAX_BLOCK_TRANSFERS } from '../../limits.js';
import type { View } from '../../reader.js';
import { listBlockTransfers } from '../../sql/list-transfers.js';
import { readBlocks } from '../../sql/read-blocks.js';
import type { BlockRecord } from '../../sql/read-blocks.js';
import type { FieldResolvers, Resolve } from '../resolver.js';

export interface BlockSource extends BlockRecord {
  view: View;
}

/** A block that was connected at any time up to the view's moment. */
export async function loadBlock(view: View, hash: string): Promise<BlockSource | undefined> {
  const record = await view.load('block', hash, (hashes: readonly string[]) =>
    readBlocks(view.database, view.at, hashes),
  );
  return record === undefined ? undefined : { ...record, view };
}

const transfers: Resolve<BlockSource> = async ({ hash, memberAt, view }) => {
  const rows = await view.load(`block-transfers@${memberAt}`, hash, (hashes: readonly string[]) =>
    listBlockTransfers(
      view.database,
      view.at,
      hashes.map((wanted) => ({ hash: wanted, memberAt })),
      MAX_BLOCK_TRANSFERS + 1,
    ),
  );
  if ((rows?.length ?? 0) > MAX_BLOCK_TRANSFERS) {
    throw badUserInput(
      'transfers',
      `block ${hash} has more than ${MAX_BLOCK_TRANSFERS}: read them with transfers(filter: { blockHash: "${hash}" })`,
    );
  }
  return (rows ?? []).map((row) => ({ ...row, view }));
};

/** A ledger that was started at a block given by height and hash alone was never told these. */
function told<T>(value: T | null, { height }: BlockSource, what: string): T {
  if (value !== null) return value;
  throw new ReadError('NOT_KNOWN', `the ledger starts at block ${height} and was not told its ${what}`);
}

export const BLOCK: FieldResolvers = {
  prevHash: (block: BlockSource) => told(block.prevHash, block, 'predecessor'),
  time: (block: BlockSource) => told(block.time, block, 'time'),
  transfers,
};
