import { postingsOf } from '../../domain/postings-of.js';
import { bookHeight, defineProjection } from '../projection.js';
import type { Handles, ProjectedEvent } from '../projection.js';
import { ladderTable } from '../tables/table-definition.js';
import { addTo } from './maturity.js';
import type { Amounts } from './maturity.js';

/**
 * The other side of reconciliation: derived from postings alone, never from coins. Books: `customers` (all accounts together),
 * `house`, `suspense`, `transit`, `fees`, `wallet:<id>`, and `wallets` (all of them). A debit is positive: what is owed to customers is negative.
 */
const tables = {
  balance: ladderTable({ name: 'book_balance', key: 'book', sums: ['balance_sats'], endless: true }),
};

type BookTables = Handles<typeof tables>;

/**
 * What account owes what account, and what of it is set aside, is no change of a book here: a transfer between accounts takes from
 * `customers` what it gives to it. So a rebuild reads only the transfers that name another book.
 */
const bulk = {
  applies: `type NOT IN ('TransferSent', 'FundsReserved', 'FundsReleased')
    OR data @? '$.postings[*] ? (!(@.book starts with "account:" || @.book starts with "reserved:"))'`,
  tables: [],
};

export const books = defineProjection({ name: 'books', version: 3, tables, load, apply, bulk });

async function load(events: readonly ProjectedEvent[], { balance }: BookTables): Promise<void> {
  const keys = new Set<string>();
  let least = Infinity;
  for (const event of events) {
    const changes = bookChanges(event);
    if (changes.size === 0) continue;
    for (const book of changes.keys()) keys.add(book);
    least = Math.min(least, heightOf(event));
  }
  if (keys.size > 0) await balance.load(keys, least);
}

function apply(event: ProjectedEvent, { balance }: BookTables): void {
  for (const [book, amount] of bookChanges(event)) balance.add(book, heightOf(event), [amount]);
}

/** The height that the event's postings count from: the block's, also for its undoing, or the tip's. */
function heightOf(event: ProjectedEvent): number {
  return event.block?.height ?? bookHeight(event);
}

/** To a customer, set aside or not. */
function isOwed(book: string): boolean {
  return book.startsWith('account:') || book.startsWith('reserved:');
}

/** Changes by book; books that an event leaves as they are are not in it. */
export function bookChanges(event: ProjectedEvent): Amounts {
  const changes: Amounts = new Map();
  for (const { book, amountSats } of postingsOf(event, event.block?.found)) {
    addTo(changes, isOwed(book) ? 'customers' : book, amountSats);
    if (book.startsWith('wallet:')) addTo(changes, 'wallets', amountSats);
  }
  for (const [book, amount] of changes) if (amount === 0n) changes.delete(book);
  return changes;
}
