import { once } from 'node:events';
import { openDatabase } from '../app/open-database.js';
import { createPostgresOutbox } from '../outbox/postgres-outbox.js';
import { ConfigError, readConfig } from '../platform/config.js';
import { createLogger } from '../platform/logger.js';
import { createPool } from '../platform/postgres/pool.js';

/** Events per read: a page of usual events is about 1 MB. */
const PAGE = 1000;

/** `tallystick events export`: the log as it stood when the command began, one JSON object a line. */
export async function runEventsExport(options: { after: string }): Promise<void> {
  if (!/^(0|[1-9]\d{0,17})$/.test(options.after))
    throw new ConfigError('--after', `'${options.after}' is not a position`);
  const config = readConfig(process.env);
  const database = await openDatabase(config, 'attach', createLogger(config.logLevel));
  const pool = createPool(database.url, { max: 1, role: database.role });
  try {
    const outbox = createPostgresOutbox({ pool, ledger: config.ledger });
    const head = await outbox.head();
    let position = BigInt(options.after);
    while (position < head) {
      const events = await outbox.read(position, PAGE);
      for (const event of events) {
        if (event.position > head) break;
        const line = JSON.stringify(event, (_key, value: unknown) =>
          typeof value === 'bigint' ? value.toString() : value,
        );
        if (!process.stdout.write(`${line}\n`)) await once(process.stdout, 'drain');
      }
      position = events.at(-1)?.position ?? head;
    }
  } finally {
    await pool.end();
    await database.close();
  }
}
