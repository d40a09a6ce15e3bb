import { once } from 'node:events';
import { createPostgresOutbox } from '../outbox/postgres-outbox.js';
import { ConfigError } from '../platform/config.js';
import { oneLedger } from './one-ledger.js';
import { withDatabase } from './with-database.js';

/** Events per read: a page of usual events is about 1 MB. */
const PAGE = 1000;

/** `tallystick events export`: the log as it stood when the command began, one JSON object a line. */
export async function runEventsExport(options: { after: string }): Promise<void> {
  if (!/^(0|[1-9]\d{0,17})$/.test(options.after))
    throw new ConfigError('--after', `'${options.after}' is not a position`);
  // Standard output is the log: no progress.
  await withDatabase({ label: 'export', connections: 1, json: false }, async ({ config, pool }) => {
    const outbox = createPostgresOutbox({ pool, ledger: oneLedger(config) });
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
  });
}
