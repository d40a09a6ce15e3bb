import type pg from 'pg';
import {
  byteaArray,
  int4Array,
  int8Array,
  jsonArray,
  jsonbArray,
  textArray,
  uuidArray,
} from '../../platform/postgres/binary-array.js';
import { isDataError, sqlStateOf, toPlatformError } from '../database-error.js';
import type { AllPosition } from '../eventstoredb/messages.js';
import { DamagedEventError, type RelayedEvent, type RelayedRow } from './relayed-event.js';

const RELAY_SQL = `SELECT relay_events(${Array.from({ length: 18 }, (_, n) => `$${n + 1}`).join(', ')})`;
const READ_SQL = 'SELECT commit_position, prepare_position FROM relay_checkpoint WHERE ledger = $1';

const LEASE_LOST = 'TY001';
const FILLED_OTHERWISE = 'TY003';

/** Another relay has taken over: nothing of this one is written any more. */
export class RelayLeaseLostError extends Error {
  override readonly name = 'RelayLeaseLostError';
}

/** The ledger's outbox was not filled from EventStoreDB: nothing can be relayed into it. */
export class RelayRefusedError extends Error {
  override readonly name = 'RelayRefusedError';
}

export interface RelayWrite {
  ledger: string;
  /** Of the lease. */
  epoch: bigint;
  from: AllPosition | undefined;
  to: AllPosition;
  events: readonly RelayedEvent[];
  timeoutMs: number;
}

/** Undefined: nothing has been relayed yet. */
export async function readCheckpoint(
  pool: pg.Pool,
  ledger: string,
  timeoutMs: number,
): Promise<AllPosition | undefined> {
  try {
    const query: pg.QueryConfig & { query_timeout: number } = {
      text: READ_SQL,
      values: [ledger],
      query_timeout: timeoutMs,
    };
    const { rows } = await pool.query<{ commit_position: bigint; prepare_position: bigint }>(query);
    return rows[0] && { commit: rows[0].commit_position, prepare: rows[0].prepare_position };
  } catch (error) {
    throw toPlatformError(error, "read of the relay's checkpoint");
  }
}

/**
 * Writes a batch in one transaction: rows, outcomes, checkpoint. Where one event makes it fail, those before it are written, and the one
 * is named.
 *
 * @throws RelayLeaseLostError
 * @throws DamagedEventError, RelayRefusedError
 * @throws RetryableError: it may have been written; the checkpoint says so
 */
export async function writeRelayed(pool: pg.Pool, write: RelayWrite): Promise<void> {
  try {
    await writeOnce(pool, write);
  } catch (error) {
    if (sqlStateOf(error) === LEASE_LOST) throw new RelayLeaseLostError((error as Error).message, { cause: error });
    if (sqlStateOf(error) === FILLED_OTHERWISE) throw new RelayRefusedError((error as Error).message, { cause: error });
    if (!isDataError(error)) throw toPlatformError(error, 'relay');
    const [first] = write.events;
    if (write.events.length <= 1 || first === undefined) {
      if (first?.row === undefined) throw toPlatformError(error, 'relay');
      const problem = error instanceof Error ? error.message : String(error);
      throw new DamagedEventError({ ...first.row, position: first.position }, problem, { cause: error });
    }
    const half = write.events.length >> 1;
    const middle = write.events[half - 1]?.position ?? write.to;
    await writeRelayed(pool, { ...write, to: middle, events: write.events.slice(0, half) });
    await writeRelayed(pool, { ...write, from: middle, events: write.events.slice(half) });
  }
}

async function writeOnce(pool: pg.Pool, { ledger, epoch, from, to, events, timeoutMs }: RelayWrite): Promise<void> {
  const rows = events.map(({ row }) => row).filter((row): row is RelayedRow => row !== undefined);
  const outcomes: NonNullable<RelayedRow['outcome']>[] = [];
  const last: number[] = [];
  rows.forEach(({ outcome }, index) => {
    if (outcome === undefined) return;
    outcomes.push(outcome);
    last.push(index + 1);
  });
  const isImported = rows.some(({ recordedAtMs }) => recordedAtMs !== undefined);
  const recorded = (at: number | undefined): bigint | null => (at === undefined ? null : BigInt(at));
  const query: pg.QueryConfig & { query_timeout: number } = {
    name: 'relay-events',
    text: RELAY_SQL,
    query_timeout: timeoutMs,
    values: [
      ledger,
      epoch,
      from?.commit ?? null,
      from?.prepare ?? null,
      to.commit,
      to.prepare,
      textArray(rows.map(({ stream }) => stream)),
      int8Array(rows.map(({ revision }) => revision)),
      uuidArray(rows.map(({ id }) => id)),
      textArray(rows.map(({ type }) => type)),
      int4Array(rows.map(({ schemaVersion }) => schemaVersion)),
      jsonbArray(rows.map(({ dataJson }) => dataJson)),
      jsonbArray(rows.map(({ metadataJson }) => metadataJson)),
      isImported ? int8Array(rows.map(({ recordedAtMs }) => recorded(recordedAtMs))) : null,
      textArray(outcomes.map(({ key }) => key)),
      byteaArray(outcomes.map(({ requestHash }) => requestHash)),
      jsonArray(outcomes.map(({ outcomeJson }) => outcomeJson)),
      int4Array(last),
    ],
  };
  await pool.query(query);
}
