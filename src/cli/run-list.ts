import type { Config } from '../platform/config.js';
import type { ResolvedAsOf } from '../query/as-of.js';
import { readPresent } from '../query/present.js';
import { createReadDatabase, type ReadDatabase } from '../query/sql/database.js';
import { EXIT_FAILED, EXIT_USAGE } from './exit.js';
import { existingLedger } from './one-ledger.js';
import { printList } from './print-list.js';
import { withDatabase } from './with-database.js';

const CONNECTIONS = 2;

/** Most rows of one list: a screen is read, not a ledger. */
const MAX_LISTED = 500;

export interface ListOptions {
  status?: string;
  limit: string;
  json?: boolean;
}

export interface ListCommand<Row, Status extends string> {
  /** What is listed: `payouts`. */
  label: string;
  statuses: readonly Status[];
  find: (read: ListRead<Status>) => Promise<Row[]>;
  columnsOf: (row: Row) => Record<string, string>;
}

export interface ListRead<Status> {
  config: Config;
  database: ReadDatabase;
  at: ResolvedAsOf;
  criteria: { status?: Status };
  page: { before: undefined; limit: number };
}

/** Prints what the read models have now, the newest first. Exit 2 for what is no status and no limit, 1 where there is nothing to read. */
export async function runList<Row extends object, Status extends string>(
  options: ListOptions,
  { label, statuses, find, columnsOf }: ListCommand<Row, Status>,
): Promise<void> {
  const json = options.json === true;
  const limit = Number(options.limit);
  const status = statuses.find((candidate) => candidate === options.status);
  if (options.status !== undefined && status === undefined) {
    refuse(`--status must be one of ${statuses.join(', ')}`);
    return;
  }
  if (!Number.isInteger(limit) || limit < 1 || limit > MAX_LISTED) {
    refuse(`--limit must be 1 to ${MAX_LISTED}`);
    return;
  }
  await withDatabase({ label, connections: CONNECTIONS, json }, async ({ config, pool }) => {
    const database = createReadDatabase(pool, await existingLedger(pool, config));
    const at = await readPresent(database, ['payouts', 'transfers', 'blocks']);
    if (at === undefined) {
      process.stderr.write('tallystick: the read models are not there yet: start the ledger first\n');
      process.exitCode = EXIT_FAILED;
      return;
    }
    const criteria = status === undefined ? {} : { status };
    const found = await find({ config, database, at, criteria, page: { before: undefined, limit } });
    printList(json, found, columnsOf, `no ${label}`);
  });
}

function refuse(message: string): void {
  process.stderr.write(`tallystick: ${message}\n`);
  process.exitCode = EXIT_USAGE;
}
