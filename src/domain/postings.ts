import { z } from 'zod';
import { signedSatsSchema } from './primitives.js';

/**
 * Double entry. Every movement of money is a set of postings that sum to zero. A positive amount is a debit, a negative
 * one a credit. The books:
 *
 * - `wallet:<id>`: an asset; what the wallet holds on the chain. Debit balance.
 * - `account:<id>`: a liability; what is owed to the customer. Credit balance.
 * - `reserved:<id>`: a liability; what is owed to the customer and set aside for withdrawals. Credit balance.
 * - `transit`: clearing; payments that left a wallet and are not settled (debit), or are settled and lost their block (credit). 0 at rest.
 * - `fees`: expense; what the network's fees cost the house. Debit balance.
 * - `house`: equity; coins that came to a wallet but to no customer's address. Credit balance.
 * - `suspense`: coins of ours that were spent by a transaction that is not ours. Debit balance, and an alarm unless zero.
 */
export type Book =
  `wallet:${string}` | `account:${string}` | `reserved:${string}` | 'house' | 'suspense' | 'transit' | 'fees';

export const postingSchema = z.strictObject({
  book: z.string().regex(/^(wallet:.+|account:.+|reserved:.+|house|suspense|transit|fees)$/),
  amountSats: signedSatsSchema,
});

export interface Posting {
  book: Book;
  /** Positive: debit. Negative: credit. */
  amountSats: bigint;
}
