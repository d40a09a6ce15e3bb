import { expect } from 'vitest';
import { createPool } from '../../src/platform/postgres/pool.js';
import { eventually } from './cdc-ledger.js';
import type { StandIn } from './eventstoredb/stand-in.js';
import { runTallystick } from './ledger-process.js';

/**
 * That a ledger has lost nothing and doubled nothing: every acknowledged command is in its log once, the outbox is `$all` in its order, and
 * every read model is, row for row, what a replay of the log gives. Waits until the read models have reached the head.
 *
 * @returns number of events
 */
export async function expectWhole(what: {
  databaseUrl: string;
  ledger: string;
  /** Idempotency keys of the commands that were answered with success. */
  acknowledged: readonly string[];
  events: StandIn;
}): Promise<number> {
  const { databaseUrl, ledger, acknowledged, events } = what;
  const pool = createPool(databaseUrl, { max: 1 });
  try {
    await eventually(`read models of ${ledger} reach the head`, async () => {
      const { rows } = await pool.query<{ behind: bigint }>(
        `SELECT h.position - min(c.position) AS behind FROM ledger_head h JOIN projection_checkpoint c USING (ledger)
         WHERE h.ledger = $1 GROUP BY h.position`,
        [ledger],
      );
      return rows[0]?.behind === 0n;
    });
    const { rows } = await pool.query<{ id: string; key: string | null }>(
      `SELECT id, metadata->>'idempotencyKey' AS key FROM outbox WHERE ledger = $1 ORDER BY position`,
      [ledger],
    );
    const keys = new Map<string, number>();
    for (const { key } of rows) if (key !== null) keys.set(key, (keys.get(key) ?? 0) + 1);
    expect(acknowledged.filter((key) => keys.get(key) !== 1)).toEqual([]);
    expect(rows.map(({ id }) => id)).toEqual(idsInEventStore(events, ledger));
    const verified = await runTallystick(['verify', '--json'], { DATABASE_URL: databaseUrl, LEDGER: ledger });
    expect(verified, verified.stdout + verified.stderr).toMatchObject({ code: 0 });
    return rows.length;
  } finally {
    await pool.end();
  }
}

/** Ids of the ledger's events in the order of `$all`. */
function idsInEventStore(events: StandIn, ledger: string): string[] {
  const prefix = `tallystick.${ledger}.`;
  return events.log.all
    .filter(({ stream, type }) => stream.startsWith(prefix) && type !== 'tallystick-fence')
    .map(({ id }) => id);
}
