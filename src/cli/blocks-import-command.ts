import { importBlocks, type ImportSummary } from '../bitcoin/import/import-blocks.js';
import { createPostgresOutbox } from '../outbox/postgres-outbox.js';
import { EXIT_FAILED } from './exit.js';
import { oneLedger } from './one-ledger.js';
import { withDatabase } from './with-database.js';
import { withEventStore } from './with-event-store.js';

const CONNECTIONS = 4;

/** `tallystick blocks import FILE…`: exit code 1 where a block or a file is damaged; what is sound is connected all the same. */
export async function runBlocksImport(files: readonly string[], options: { json?: boolean }): Promise<void> {
  const json = options.json === true;
  const session = { label: 'import', connections: CONNECTIONS, json, creates: true };
  await withDatabase(session, async ({ config, pool, progress }) => {
    const ledger = oneLedger(config);
    const { network, startBlock, depositConfirmations, finalityDepth } = config;
    const summary = await withEventStore({ url: config.eventStoreDbUrl, pool, ledger }, (store) =>
      importBlocks({
        files,
        ledger,
        network,
        store,
        outbox: createPostgresOutbox({ pool, ledger }),
        startBlock,
        depositConfirmations,
        finalityDepth,
        now: () => Date.now(),
        random: () => Math.random(),
        onProgress: ({ phase, done, total }) => {
          progress.update(done, total, phase === 'reading' ? 'bytes read' : 'blocks connected');
        },
      }),
    );
    progress.stop();
    process.stdout.write(json ? `${JSON.stringify(summary, bigintAsText)}\n` : describe(summary));
    if (summary.problemCount > 0) process.exitCode = EXIT_FAILED;
  });
}

function bigintAsText(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? value.toString() : value;
}

function describe(summary: ImportSummary): string {
  const { tip, problems, problemCount } = summary;
  const counts = [
    `${summary.read} blocks read from ${summary.files} files`,
    `${summary.connected} connected`,
    ...(summary.disconnected > 0 ? [`${summary.disconnected} disconnected`] : []),
    `${summary.alreadyConnected} connected before`,
    `${summary.stale} stale`,
    `${summary.foreign} foreign`,
    `${summary.duplicate} duplicate`,
    `${summary.invalid} not valid`,
  ];
  const lines = [
    ...problems.map(({ file, offset, problem, detail }) => `${file} at byte ${offset}: ${problem}: ${detail}`),
    ...(problemCount > problems.length ? [`… and ${problemCount - problems.length} more problems`] : []),
    counts.join(', '),
    tip === undefined
      ? 'the ledger has no chain yet'
      : `the tip is ${tip.hash} at height ${tip.height}, position ${summary.position}`,
  ];
  return `${lines.join('\n')}\n`;
}
