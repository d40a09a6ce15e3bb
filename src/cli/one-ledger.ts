import type pg from 'pg';
import { ConfigError, type Config } from '../platform/config.js';

/** Ledgers that are named where the one that was asked for is not there. */
const MAX_NAMED = 10;

/** The ledger that a command works on: it is asked for one at a time. */
export function oneLedger({ ledgers }: Pick<Config, 'ledgers'>): string {
  const [only, ...more] = ledgers;
  if (only === undefined || more.length > 0) {
    throw new ConfigError('LEDGER', `names ${ledgers.length} ledgers: this command works on one, name it`);
  }
  return only;
}

/**
 * The ledger that a command looks at.
 *
 * @throws ConfigError where the database has others and not this one: it is misspelt
 */
export async function existingLedger(pool: pg.Pool, config: Pick<Config, 'ledgers'>): Promise<string> {
  const ledger = oneLedger(config);
  const { rows } = await pool.query<{ ledger: string }>('SELECT ledger FROM ledger_head ORDER BY ledger');
  const names = rows.map((row) => row.ledger);
  if (names.length > 0 && !names.includes(ledger)) {
    const others = names.slice(0, MAX_NAMED).join(', ');
    throw new ConfigError('LEDGER', `there is no ledger '${ledger}' in this database, but ${others}`);
  }
  return ledger;
}
