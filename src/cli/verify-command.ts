import { ALL_PROJECTIONS } from '../projections/all-projections.js';
import type { Mismatch } from '../projections/verify/mismatch.js';
import { verifyLedger } from '../projections/verify/verify-ledger.js';
import { EXIT_FAILED } from './exit.js';
import { existingLedger } from './one-ledger.js';
import { withDatabase } from './with-database.js';

const CONNECTIONS = 12;

/** `tallystick verify`: exit code 1 where anything is not as the log says. */
export async function runVerify(options: { json?: boolean }): Promise<void> {
  const json = options.json === true;
  await withDatabase({ label: 'verify', connections: CONNECTIONS, json }, async ({ config, pool, progress }) => {
    const report = await verifyLedger({
      pool,
      ledger: await existingLedger(pool, config),
      projections: ALL_PROJECTIONS,
      onProgress: ({ phase, position, head, table }) => {
        progress.update(Number(position), Number(head), table === undefined ? phase : `${phase} ${table}`);
      },
    });
    progress.stop();
    const { position, tables, mismatches, total } = report;
    if (json) {
      process.stdout.write(`${JSON.stringify({ position: position.toString(), tables, total, mismatches })}\n`);
    } else {
      for (const mismatch of mismatches) process.stdout.write(`${describe(mismatch)}\n`);
      if (total > mismatches.length) process.stdout.write(`… and ${total - mismatches.length} more\n`);
      process.stdout.write(
        total === 0
          ? `the log, ${tables} tables and the books agree at position ${position}\n`
          : `${total} mismatches at position ${position}\n`,
      );
    }
    if (total > 0) process.exitCode = EXIT_FAILED;
  });
}

function describe({ kind, where, key, stored, expected }: Mismatch): string {
  return `${kind} ${where} ${key}: stored ${stored ?? 'nothing'}, the log says ${expected ?? 'nothing'}`;
}
