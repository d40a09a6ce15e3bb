import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import type pg from 'pg';
import { createEventStoreConnection } from '../eventstore/eventstoredb/connection.js';
import { createEventStoreDbSink } from '../eventstore/transfer/eventstoredb-sink.js';
import { importLog, type ImportProgress, type ImportSink } from '../eventstore/transfer/import-log.js';
import { parseLogLine, type LogLine } from '../eventstore/transfer/log-line.js';
import { createPostgresSink } from '../eventstore/transfer/postgres-sink.js';
import { ConfigError } from '../platform/config.js';
import { oneLedger } from './one-ledger.js';
import { withDatabase } from './with-database.js';
import { withRelay } from './with-event-store.js';

const CONNECTIONS = 4;

/** `tallystick events import FILE`: an exported log into an empty ledger of the configured event store; `-` is standard input. */
export async function runEventsImport(file: string, options: { json?: boolean }): Promise<void> {
  const json = options.json === true;
  const total = file === '-' ? 0 : await sizeOf(file);
  await withDatabase(
    { label: 'import', connections: CONNECTIONS, json, creates: true },
    async ({ config, pool, progress }) => {
      const ledger = oneLedger(config);
      const source = file === '-' ? process.stdin : createReadStream(file);
      let done = 0;
      const onRead = (bytes: number): void => {
        done += bytes;
      };
      const summary = await withSink({ url: config.eventStoreDbUrl, pool, ledger }, (sink) =>
        importLog({
          pool,
          ledger,
          lines: readLines(source, onRead),
          sink,
          onProgress: ({ position }) => {
            progress.update(
              total === 0 ? Number(position) : done,
              total === 0 ? Number(position) : total,
              `position ${position}`,
            );
          },
        }),
      );
      progress.stop();
      process.stdout.write(json ? `${describeAsJson(summary)}\n` : `${describe(summary)}\n`);
    },
  );
}

async function sizeOf(file: string): Promise<number> {
  try {
    return (await stat(file)).size;
  } catch (cause) {
    throw new ConfigError('file', `${file} cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`);
  }
}

async function* readLines(source: Readable, onRead: (bytes: number) => void): AsyncGenerator<LogLine, void, void> {
  let lineNumber = 0;
  for await (const text of createInterface({ input: source, crlfDelay: Number.POSITIVE_INFINITY })) {
    lineNumber += 1;
    onRead(Buffer.byteLength(text) + 1);
    if (text.trim() !== '') yield parseLogLine(text, lineNumber);
  }
}

/** Into EventStoreDB, a relay brings what is imported into the outbox. */
async function withSink<T>(
  { url, pool, ledger }: { url: string | undefined; pool: pg.Pool; ledger: string },
  run: (sink: ImportSink) => Promise<T>,
): Promise<T> {
  if (url === undefined) return run(createPostgresSink(pool, ledger));
  const connection = createEventStoreConnection(url);
  try {
    // What is got over needs no words.
    const sink = createEventStoreDbSink({ connection, pool, ledger, onError: () => undefined });
    return await withRelay({ url, pool, ledger }, () => run(sink));
  } finally {
    connection.close();
  }
}

function describe({ position, skipped, rejections }: ImportProgress): string {
  const there = skipped > 0 ? `, ${skipped} of them were there already` : '';
  return `${position} events and ${rejections} refused commands imported${there}`;
}

function describeAsJson({ position, skipped, rejections }: ImportProgress): string {
  return JSON.stringify({ position: position.toString(), skipped, rejections });
}
