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
    // Who reads may stop reading, as `head` does: that is the end, and no failure.
    let isUnread = false;
    process.stdout.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE') throw error;
      isUnread = true;
    });
    while (position < head && !isUnread) {
      const events = await outbox.read(position, PAGE);
      for (const event of events) {
        if (event.position > head || isUnread) break;
        const line = JSON.stringify(event, (_key, value: unknown) =>
          typeof value === 'bigint' ? value.toString() : value,
        );
        const isFull = !process.stdout.write(`${line}\n`);
        if (isFull && !isUnread) await once(process.stdout, 'drain').catch(unlessUnread);
      }
      position = events.at(-1)?.position ?? head;
    }
  });
}

function unlessUnread(error: unknown): void {
  if ((error as NodeJS.ErrnoException).code !== 'EPIPE') throw error;
}
