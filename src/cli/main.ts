import { Command } from 'commander';
import { EXIT_USAGE, exitWithError } from './exit.js';
import { VERSION } from '../platform/version.js';

/** Loads a command when it is called: help and wrong usage are answered before a database or a web framework is read in. */
function later<A extends unknown[]>(load: () => Promise<(...args: A) => Promise<void>>): (...args: A) => Promise<void> {
  return async (...args) => {
    const run = await load();
    await run(...args);
  };
}

const program = new Command('tallystick')
  .description('An event-sourced Bitcoin ledger. Configuration comes from the environment: see docs/configuration.md.')
  .version(VERSION)
  .showHelpAfterError()
  .addHelpText('after', '\nExit codes: 0 done, 1 failed or mismatches found, 2 wrong usage or configuration.');

// Before the commands are made: each takes over what is set here. Help and version are no errors; everything else that commander refuses is wrong usage.
program.exitOverride((error) => {
  process.exit(error.exitCode === 0 ? 0 : EXIT_USAGE);
});

program
  .command('start')
  .description('run the ledger: database, chain, API')
  .action(later(async () => (await import('./start-command.js')).runStart));

program
  .command('migrate')
  .description('bring the database to the current schema')
  .option('--json', 'print the result as JSON')
  .action(later(async () => (await import('./migrate-command.js')).runMigrate));

program
  .command('rebuild')
  .description('replay the log into new tables and switch to them, while reads and commands go on')
  .argument('[projection...]', 'names of projections; all where none is given')
  .option('--json', 'progress and result as JSON lines')
  .action(later(async () => (await import('./rebuild-command.js')).runRebuild));

program
  .command('verify')
  .description('replay everything and compare it with every read model and with the books; exit 1 on any mismatch')
  .option('--json', 'progress and result as JSON lines')
  .action(later(async () => (await import('./verify-command.js')).runVerify));

program
  .command('withdrawals')
  .description('withdrawals, the newest first')
  .option('--status <status>', 'requested, prepared, signed, broadcast, confirming, completed, cancelled or failed')
  .option('--overdue', 'only those that are in their status for too long')
  .option('--account <id>', 'only those of an account')
  .option('--limit <number>', 'at most so many', '50')
  .option('--json', 'one JSON object per line')
  .action(later(async () => (await import('./withdrawals-command.js')).runWithdrawals));

program
  .command('payouts')
  .description('payouts, the newest first')
  .option(
    '--status <status>',
    'started, prepared, signed, broadcast, confirming, completed, final, halted, cancelled or failed',
  )
  .option('--wallet <id>', 'only those of a wallet')
  .option('--limit <number>', 'at most so many', '50')
  .option('--json', 'one JSON object per line')
  .action(later(async () => (await import('./payouts-command.js')).runPayouts));

program
  .command('blocks')
  .description('blocks from files')
  .command('import')
  .description('connect blocks from raw block files and blk*.dat files')
  .argument('<file...>', 'files in any order')
  .option('--json', 'progress and result as JSON lines')
  .action(later(async () => (await import('./blocks-import-command.js')).runBlocksImport));

const events = program.command('events').description('the log');

events
  .command('export')
  .description('write the log as JSON lines to standard output, oldest first')
  .option('--after <position>', 'begin after this position', '0')
  .action(later(async () => (await import('./events-export-command.js')).runEventsExport));

events
  .command('import')
  .description(
    'read an exported log into an empty ledger, of either event store; again after an interruption, it goes on',
  )
  .argument('<file>', 'what `events export` wrote; - for standard input')
  .option('--json', 'progress and result as JSON lines')
  .action(later(async () => (await import('./events-import-command.js')).runEventsImport));

const cdc = program.command('cdc').description('the way from the outbox to Kafka');

cdc
  .command('check')
  .description('say what is wrong with any part of it, and what to do; exit 1 if anything is')
  .option('--json', 'one JSON object per part')
  .action(later(async () => (await import('./cdc-command.js')).runCdcCheck));

cdc
  .command('repair')
  .description('get the connector going again, with a new slot where its own is gone or was invalidated')
  .option('--force', 'a new slot in any case')
  .option('--json', 'one JSON object per step')
  .action(later(async () => (await import('./cdc-command.js')).runCdcRepair));

cdc
  .command('setup')
  .description('make the role of the connector (with CDC_PASSWORD), the publication and the topic')
  .option('--json', 'one JSON object per step')
  .action(later(async () => (await import('./cdc-command.js')).runCdcSetup));

program.parseAsync().catch(exitWithError);
