import { createHash } from 'node:crypto';
import type pg from 'pg';
import { invariant } from '../../platform/assert.js';
import { RetryableError } from '../../platform/errors.js';
import { quoted, readSchema } from '../../projections/tables/identifiers.js';

/** Reads of one ledger's models. */
export interface ReadDatabase {
  ledger: string;
  /** The schema of the read tables, quoted. */
  schema: string;
  /**
   * Rows of a prepared statement.
   *
   * @param name for logs; the text may be built from closed sets of parts, never from what a client sent
   * @throws RetryableError when the database is away, or stops the statement because it takes too long
   */
  rows: <R extends object>(name: string, text: string, values: readonly unknown[]) => Promise<R[]>;
}

/** Filters can be combined in some hundred ways. */
const MAX_STATEMENTS = 2_000;

export function createReadDatabase(pool: pg.Pool, ledger: string): ReadDatabase {
  // Several ledgers may share a pool, and a prepared statement belongs to one schema: its name is made of its text.
  const statements = new Map<string, string>();
  const statementName = (text: string): string => {
    let name = statements.get(text);
    if (name === undefined) {
      name = `query.${createHash('sha256').update(text).digest('base64url').slice(0, 22)}`;
      invariant(statements.size < MAX_STATEMENTS, 'statements must be built from closed sets of parts');
      statements.set(text, name);
    }
    return name;
  };
  return {
    ledger,
    schema: quoted(readSchema(ledger)),
    rows: async <R extends object>(name: string, text: string, values: readonly unknown[]) => {
      try {
        return (await pool.query({ name: statementName(text), text, values: [...values] })).rows as R[];
      } catch (error) {
        throw readFailure(error, name);
      }
    },
  };
}

/** Classes 08 (connection), 53 (resources), 57 (operator intervention, statement timeout), 40 (serialisation, deadlock). */
const RETRYABLE_STATE = /^(08|53|57|40)/;

function readFailure(error: unknown, name: string): unknown {
  if (!(error instanceof Error)) return error;
  const { code } = error as { code?: unknown };
  const fromServer = typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code);
  // What has no state of PostgreSQL's happened on the way to it: refused, reset, timed out.
  if (fromServer && !RETRYABLE_STATE.test(code)) return error;
  return new RetryableError('the database did not answer a read', { statement: name, code }, { cause: error });
}
