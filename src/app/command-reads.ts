import type pg from 'pg';
import type { CommandReads } from '../command/ports.js';
import type { Progress } from '../projections/progress.js';
import { readCredits } from '../projections/read/read-credits.js';
import { readScriptOwners } from '../projections/read/script-owners.js';
import { readWalletsWithDescriptor } from '../projections/read/wallets-with-descriptor.js';
import { readWalletWithDescriptor } from '../projections/read/wallet-with-descriptor.js';

/** Projections that commands look into. */
const NAMES = ['accounts', 'wallets'] as const;

/** The read models as commands need them. */
export function createCommandReads(pool: pg.Pool, ledger: string, progress: Progress): CommandReads {
  return {
    credits: async (accountIds) => (await readCredits(pool, ledger, accountIds)).credits,
    scriptOwners: (scripts) => readScriptOwners(pool, ledger, scripts),
    walletWithDescriptor: (keys) => readWalletWithDescriptor(pool, ledger, keys),
    walletsWithDescriptor: (limit) => readWalletsWithDescriptor(pool, ledger, limit),
    waitFor: (position, timeoutMs) => progress.waitFor(position, NAMES, timeoutMs),
  };
}
