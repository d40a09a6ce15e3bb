import { invariant } from '../../platform/assert.js';
import { workOf } from '../../domain/work.js';
import { defineProjection } from '../projection.js';
import type { AssembledBlock, Handles, ProjectedEvent } from '../projection.js';
import { rowTable } from '../tables/table-definition.js';

/** One row per interval of being connected. */
export interface BlockRow {
  hash: string;
  height: number;
  prev_hash: string | null;
  /** Seconds since 1970, and the compact target: unsigned 32 bits, more than `int` holds. */
  time: bigint | null;
  bits: bigint | null;
  /** Of its `BlockConnected` (or of `ChainOpened`) on the chain's stream. */
  revision: bigint;
}

/** One row per change of the tip, by its interval. */
export interface ChainTipRow {
  /** Always 0: there is one tip. */
  id: number;
  height: number;
  hash: string;
  /** Greatest height that the tip ever had. */
  highest: number;
  /** The reorg that later blocks may still belong to. */
  reorg_start: bigint | null;
  /** The last change took a block off. */
  disconnecting: boolean;
}

export interface ReorgRow {
  /** Position of its first `BlockDisconnected`. */
  start_position: bigint;
  recorded_at: Date;
  /** The last block that both branches have. */
  fork_height: number;
  depth: number;
  /** Newest first. */
  disconnected: string[];
  /** Oldest first. */
  connected: string[];
  /** Work taken off and put on, decimal. */
  work_off: string;
  work_on: string;
}

const tables = {
  block: rowTable<BlockRow>({
    name: 'block',
    columns: {
      hash: { type: 'text', plain: true },
      height: { type: 'int' },
      prev_hash: { type: 'text', nullable: true, plain: true },
      time: { type: 'bigint', nullable: true },
      bits: { type: 'bigint', nullable: true },
      revision: { type: 'bigint' },
    },
    key: ['hash'],
    indexes: ['height, from_position'],
  }),
  tip: rowTable<ChainTipRow>({
    name: 'chain_tip',
    columns: {
      id: { type: 'int' },
      height: { type: 'int' },
      hash: { type: 'text', plain: true },
      highest: { type: 'int' },
      reorg_start: { type: 'bigint', nullable: true },
      disconnecting: { type: 'boolean' },
    },
    key: ['id'],
  }),
  reorg: rowTable<ReorgRow>({
    name: 'reorg',
    columns: {
      start_position: { type: 'bigint' },
      recorded_at: { type: 'timestamptz' },
      fork_height: { type: 'int' },
      depth: { type: 'int' },
      disconnected: { type: 'text[]' },
      connected: { type: 'text[]' },
      work_off: { type: 'numeric' },
      work_on: { type: 'numeric' },
    },
    key: ['start_position'],
  }),
};

type BlockTables = Handles<typeof tables>;

const TIP = '0';

/** Which blocks were connected when, the tip at every position, and the reorgs. */
export const blocks = defineProjection({
  name: 'blocks',
  version: 1,
  tables,
  load,
  apply,
  bulk: { applies: 'false', tables: [] },
});

async function load(events: readonly ProjectedEvent[], { block, tip, reorg }: BlockTables): Promise<void> {
  const hashes = events.flatMap((event) => {
    if (event.type === 'ChainOpened') return [event.data.hash];
    return event.block === undefined ? [] : [event.block.hash];
  });
  if (hashes.length === 0) return;
  await block.load(hashes);
  await tip.load([TIP]);
  if (tip.isComplete) return;
  const starts = events.filter(({ type }) => type === 'BlockDisconnected').map(({ position }) => String(position));
  const current = tip.get(TIP)?.reorg_start ?? null;
  await reorg.load(current === null ? starts : [...starts, String(current)]);
}

function apply(event: ProjectedEvent, handles: BlockTables): void {
  switch (event.type) {
    case 'ChainOpened': {
      const { hash, height, prevHash, time, bits } = event.data;
      handles.block.put({
        hash,
        height,
        prev_hash: prevHash,
        time: time === null ? null : BigInt(time),
        bits: bits === null ? null : BigInt(bits),
        revision: event.revision,
      });
      handles.tip.put({ id: 0, height, hash, highest: height, reorg_start: null, disconnecting: false });
      return;
    }
    case 'BlockConnected':
      invariant(event.block !== undefined, `event ${event.position} has no block`);
      connect(event.block, handles);
      return;
    case 'BlockDisconnected':
      invariant(event.block !== undefined, `event ${event.position} has no block`);
      disconnect(event, event.block, handles);
      return;
    default:
      return;
  }
}

function connect(block: AssembledBlock, { block: rows, tip, reorg }: BlockTables): void {
  const { hash, height } = block;
  rows.put({
    hash,
    height,
    prev_hash: block.prevHash,
    time: BigInt(block.time),
    bits: BigInt(block.bits),
    revision: block.revision,
  });
  const before = tip.get(TIP);
  let start = before?.reorg_start ?? null;
  if (start !== null) {
    const row = reorg.get(String(start));
    invariant(row !== undefined, `there is no reorg ${start}`);
    const workOn = BigInt(row.work_on) + workOf(block.bits);
    reorg.put({ ...row, connected: [...row.connected, hash], work_on: String(workOn) });
    if (workOn > BigInt(row.work_off)) start = null;
  }
  const highest = Math.max(before?.highest ?? height, height);
  tip.put({ id: 0, height, hash, highest, reorg_start: start, disconnecting: false });
}

function disconnect(event: ProjectedEvent, block: AssembledBlock, { block: rows, tip, reorg }: BlockTables): void {
  rows.remove(block.hash);
  const before = tip.get(TIP);
  invariant(before !== undefined, `block ${block.hash} is disconnected without a tip`);
  const start = before.disconnecting && before.reorg_start !== null ? before.reorg_start : event.position;
  const row = reorg.get(String(start));
  reorg.put({
    start_position: start,
    recorded_at: row?.recorded_at ?? event.recordedAt,
    fork_height: block.height - 1,
    depth: (row?.depth ?? 0) + 1,
    disconnected: [...(row?.disconnected ?? []), block.hash],
    connected: row?.connected ?? [],
    work_off: String(BigInt(row?.work_off ?? '0') + workOf(block.bits)),
    work_on: row?.work_on ?? '0',
  });
  tip.put({
    id: 0,
    height: block.height - 1,
    hash: block.prevHash,
    highest: before.highest,
    reorg_start: start,
    disconnecting: true,
  });
}
