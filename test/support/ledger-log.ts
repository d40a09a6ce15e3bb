import { createHash } from 'node:crypto';
import type pg from 'pg';
import { EVENT_TYPES } from '../../src/domain/events/event-types.js';
import type { DomainEvent } from '../../src/domain/events/event-types.js';

/** An event as a test tells it: where it goes and what it says. Position, revision and time follow from the order. */
export type ToldEvent = DomainEvent & { stream: string };

/**
 * Writes events to the log as the store would, one statement; the table's triggers check the order.
 *
 * @param olderVersions of types whose data is told as a former program wrote it
 */
export async function tellLog(
  pool: pg.Pool,
  ledger: string,
  events: readonly ToldEvent[],
  olderVersions: Partial<Record<DomainEvent['type'], number>> = {},
): Promise<bigint> {
  await pool.query(`INSERT INTO ledger_head VALUES ($1, 0, 'epoch') ON CONFLICT (ledger) DO NOTHING`, [ledger]);
  const { rows: heads } = await pool.query<{ position: bigint; recorded_at: Date }>(
    'SELECT position, recorded_at FROM ledger_head WHERE ledger = $1',
    [ledger],
  );
  const head = heads[0]?.position ?? 0n;
  const start = Math.max(heads[0]?.recorded_at.getTime() ?? 0, Date.UTC(2026, 0, 1));
  const { rows: streams } = await pool.query<{ stream: string; revision: bigint }>(
    'SELECT stream, max(revision) AS revision FROM outbox WHERE ledger = $1 AND stream = ANY($2) GROUP BY stream',
    [ledger, [...new Set(events.map(({ stream }) => stream))]],
  );
  const revisions = new Map(streams.map(({ stream, revision }) => [stream, revision]));
  const rows = events.map(({ stream, type, data }, index) => {
    const revision = (revisions.get(stream) ?? -1n) + 1n;
    revisions.set(stream, revision);
    const position = head + BigInt(index) + 1n;
    return { position, id: idOf(ledger, position), stream, revision, type, data, at: start + (index + 1) * 1000 };
  });
  await pool.query(
    `INSERT INTO outbox (ledger, position, id, stream, revision, type, schema_version, data, metadata, recorded_at)
     SELECT $1, p, i, s, r, t, v, d, '{}', w
     FROM unnest($2::bigint[], $3::uuid[], $4::text[], $5::bigint[], $6::text[], $7::int[], $8::jsonb[], $9::timestamptz[])
       AS e(p, i, s, r, t, v, d, w)`,
    [
      ledger,
      rows.map(({ position }) => position),
      rows.map(({ id }) => id),
      rows.map(({ stream }) => stream),
      rows.map(({ revision }) => revision),
      rows.map(({ type }) => type),
      rows.map(({ type }) => olderVersions[type] ?? EVENT_TYPES[type].schemaVersion),
      rows.map(({ data }) => JSON.stringify(data)),
      rows.map(({ at }) => new Date(at).toISOString()),
    ],
  );
  return head + BigInt(events.length);
}

function idOf(ledger: string, position: bigint): string {
  const hex = createHash('sha256').update(`${ledger}:${position}`).digest('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}
