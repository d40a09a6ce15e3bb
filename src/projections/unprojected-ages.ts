import type { Queryable } from './log-reader.js';
import type { ProjectionStatus } from './status.js';

/**
 * How long the first event that a read model has not taken in has been waiting, in seconds, by name; 0 where nothing waits. By the
 * database's clock, which wrote the events' times too. Read models that are being rebuilt are left out: they are not late.
 */
export async function readUnprojectedAges(
  database: Queryable,
  ledger: string,
  status: readonly ProjectionStatus[],
): Promise<ReadonlyMap<string, number>> {
  const waiting = status.filter(({ state }) => state !== 'rebuilding');
  const next = new Set(waiting.flatMap(({ position, lagEvents }) => (lagEvents > 0n ? [position + 1n] : [])));
  const ages = new Map<bigint, number>();
  if (next.size > 0) {
    const { rows } = await database.query<{ position: bigint; age: number }>(
      `SELECT position, greatest(0, extract(epoch FROM clock_timestamp() - recorded_at))::float8 AS age
       FROM outbox WHERE ledger = $1 AND position = ANY ($2::bigint[])`,
      [ledger, [...next].map(String)],
    );
    for (const { position, age } of rows) ages.set(position, age);
  }
  return new Map(waiting.map(({ name, position }) => [name, ages.get(position + 1n) ?? 0]));
}
