import { once } from 'node:events';
import { formatLogLine } from '../eventstore/transfer/log-line.js';
import { readLog } from '../eventstore/transfer/read-log.js';
import { ConfigError } from '../platform/config.js';
import { existingLedger } from './one-ledger.js';
import { withDatabase } from './with-database.js';

/** `tallystick events export`: the log as it stood when the command began, one JSON object a line: events as stored, with outcomes. */
export async function runEventsExport(options: { after: string }): Promise<void> {
  if (!/^(0|[1-9]\d{0,17})$/.test(options.after))
    throw new ConfigError('--after', `'${options.after}' is not a position`);
  // Standard output is the log: no progress.
  await withDatabase({ label: 'export', connections: 1, json: false }, async ({ config, pool }) => {
    // Who reads may stop reading, as `head` does: that is the end, and no failure.
    let isUnread = false;
    process.stdout.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE') throw error;
      isUnread = true;
    });
    for await (const line of readLog(pool, await existingLedger(pool, config), BigInt(options.after))) {
      if (isStopped()) return;
      const isFull = !process.stdout.write(`${formatLogLine(line)}\n`);
      if (isFull && !isStopped()) await once(process.stdout, 'drain').catch(unlessUnread);
    }

    function isStopped(): boolean {
      return isUnread;
    }
  });
}

function unlessUnread(error: unknown): void {
  if ((error as NodeJS.ErrnoException).code !== 'EPIPE') throw error;
}
