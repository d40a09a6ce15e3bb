import type pg from 'pg';
import type { ChainContext, DepositPolicy, Projection } from './projection.js';
import type { Queryable } from './log-reader.js';
import type { StatementEnd } from './tables/write-changes.js';

export type ProjectionState = 'live' | 'rebuilding' | 'halted';

export interface Checkpoint {
  name: string;
  version: number;
  /** Last event that is in the tables. */
  position: bigint;
  /** Raised by every switch to rebuilt tables. */
  generation: bigint;
  context: ChainContext;
  state: ProjectionState;
  /** Position of the event that could not be applied; null unless halted. */
  haltedAt: bigint | null;
  reason: string | null;
}

interface CheckpointRecord {
  name: string;
  version: number;
  position: bigint;
  generation: bigint;
  tip_height: number | null;
  tip_hash: string | null;
  policy: DepositPolicy | null;
  state: ProjectionState;
  halted_at: bigint | null;
  reason: string | null;
}

export async function readCheckpoints(database: Queryable, ledger: string): Promise<Map<string, Checkpoint>> {
  const { rows } = await database.query<CheckpointRecord>({
    name: 'projections.checkpoints',
    text: `SELECT name, version, position, generation, tip_height, tip_hash, policy, state, halted_at, reason
           FROM projection_checkpoint WHERE ledger = $1`,
    values: [ledger],
  });
  return new Map(
    rows.map((row) => [
      row.name,
      {
        name: row.name,
        version: row.version,
        position: row.position,
        generation: row.generation,
        context: {
          tip: row.tip_height === null || row.tip_hash === null ? null : { height: row.tip_height, hash: row.tip_hash },
          policy: row.policy,
        },
        state: row.state,
        haltedAt: row.halted_at,
        reason: row.reason,
      },
    ]),
  );
}

/** Makes the row of a projection that was never there. */
export async function insertCheckpoint(client: pg.ClientBase, ledger: string, projection: Projection): Promise<void> {
  await client.query(
    `INSERT INTO projection_checkpoint (ledger, name, version, position, state) VALUES ($1, $2, $3, 0, 'live')`,
    [ledger, projection.name, projection.version],
  );
}

/**
 * Moves the checkpoints of projections in lockstep, in the statement that writes their rows. It raises where one of them is not at `from`
 * in its generation: another runner was faster, and nothing of the statement stands.
 *
 * @param announceOn channel on which the move is told when it is committed
 */
export function advanceCheckpoints(move: {
  ledger: string;
  moved: readonly { name: string; generation: bigint }[];
  from: bigint;
  to: bigint;
  context: ChainContext;
  switchKey: string;
  announceOn: string | undefined;
}): StatementEnd {
  const { ledger, moved, from, to, context, switchKey, announceOn } = move;
  const { tip, policy } = context;
  const announce = announceOn === undefined ? '' : `, pg_notify('${announceOn}', $1::text || ':' || $5::bigint)`;
  return {
    expression: `advance_checkpoints($1::text, $2::text[], $3::bigint[], $4, $5::bigint, $6::integer, $7, $8::jsonb, $9::bigint)${announce}`,
    values: [
      ledger,
      moved.map(({ name }) => name),
      moved.map(({ generation }) => generation),
      from,
      to,
      tip?.height ?? null,
      tip?.hash ?? null,
      policy === null ? null : JSON.stringify(policy),
      switchKey,
    ],
  };
}

/** Longest reason that is kept: enough for a message, not for a block. */
const MAX_REASON_LENGTH = 1000;

/** Says that `name` stopped before the event at `haltedAt`. Its tables stay as they are. */
export async function haltCheckpoint(
  database: Queryable,
  ledger: string,
  halt: { name: string; generation: bigint; haltedAt: bigint; reason: string },
): Promise<void> {
  await database.query(
    `UPDATE projection_checkpoint SET state = 'halted', halted_at = $4, reason = $5
     WHERE ledger = $1 AND name = $2 AND generation = $3 AND position = $4::bigint - 1`,
    [ledger, halt.name, halt.generation, halt.haltedAt, storableReason(halt.reason)],
  );
}

/** Says that the rebuild of `name` stopped before the event at `haltedAt`. The live tables, of another version, stay as they are. */
export async function haltRebuild(
  database: Queryable,
  ledger: string,
  { name, haltedAt, reason }: { name: string; haltedAt: bigint; reason: string },
): Promise<void> {
  await database.query(
    `UPDATE projection_checkpoint SET state = 'halted', halted_at = $3, reason = $4
     WHERE ledger = $1 AND name = $2 AND state = 'rebuilding'`,
    [ledger, name, haltedAt, storableReason(reason)],
  );
}

function storableReason(reason: string): string {
  return reason.slice(0, MAX_REASON_LENGTH).replaceAll('\0', '');
}

/** Marks what waits for a rebuild: its tables are of another version of the code, or it is to be tried again. */
export async function setCheckpointState(
  database: Queryable,
  ledger: string,
  name: string,
  state: 'live' | 'rebuilding',
): Promise<void> {
  await database.query(
    `UPDATE projection_checkpoint SET state = $3, halted_at = NULL, reason = NULL WHERE ledger = $1 AND name = $2`,
    [ledger, name, state],
  );
}
