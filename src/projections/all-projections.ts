import { accounts } from './models/accounts.js';
import { blocks } from './models/blocks.js';
import { books } from './models/books.js';
import { log } from './models/log.js';
import { payouts } from './models/payouts.js';
import { transfers } from './models/transfers.js';
import { wallets } from './models/wallets.js';
import type { Projection } from './projection.js';

/** Every read model. A new one: a file in `models`, a line here. */
export const ALL_PROJECTIONS: readonly Projection[] = [blocks, accounts, wallets, transfers, books, payouts, log];
