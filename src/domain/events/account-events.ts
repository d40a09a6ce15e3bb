import { z } from 'zod';
import { idSchema, satsSchema } from '../primitives.js';
import { postingSchema } from '../postings.js';

/** Stream `account-<accountId>`, revision 0. */
export const accountOpenedSchema = z.strictObject({
  accountId: idSchema,
  metadata: z.record(z.string(), z.unknown()),
});
export type AccountOpened = z.infer<typeof accountOpenedSchema>;

/**
 * Money moved between two accounts in the books alone. On the sender's stream; what the receiver gets is derived from it.
 * Postings: debit `account:<from>`, credit `account:<to>`.
 */
export const transferSentSchema = z.strictObject({
  transferId: idSchema,
  fromAccountId: idSchema,
  toAccountId: idSchema,
  amountSats: satsSchema,
  postings: z.array(postingSchema).length(2),
});
export type TransferSent = z.infer<typeof transferSentSchema>;
