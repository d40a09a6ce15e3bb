import { z } from 'zod';
import { hashSchema, idSchema, satsSchema, scriptSchema } from '../primitives.js';
import { postingSchema } from '../postings.js';

/** Blocks within which a payment should be confirmed: what the fee is chosen for (Bitcoin Core's estimator knows 1 to 1008). */
export const confirmationTargetSchema = z.number().int().min(1).max(1008);

/**
 * A withdrawal was asked for and is covered: on the account's stream, because this append is the commitment. It is the first event
 * of the withdrawal `withdrawalId`; the rest of its life is on `withdrawal-<id>`, on its payout and on this stream.
 * Postings: debit `account:<id>`, credit `reserved:<id>`, of `amountSats` and `maxFeeSats` together.
 */
export const fundsReservedSchema = z.strictObject({
  withdrawalId: idSchema,
  accountId: idSchema,
  walletId: idSchema,
  address: z.string().max(200),
  script: scriptSchema,
  /** What arrives. */
  amountSats: satsSchema,
  /** The account pays the network's fee up to this much; null: the house pays it. */
  maxFeeSats: satsSchema.nullable(),
  confirmationTarget: confirmationTargetSchema,
  postings: z.array(postingSchema).length(2),
});
export type FundsReserved = z.infer<typeof fundsReservedSchema>;

/** The reservation was given back, whole: the withdrawal was cancelled, or failed for good. Postings: those of `FundsReserved`, reversed. */
export const fundsReleasedSchema = z.strictObject({
  withdrawalId: idSchema,
  accountId: idSchema,
  amountSats: satsSchema,
  reason: z.enum(['cancelled', 'failed']),
  postings: z.array(postingSchema).length(2),
});
export type FundsReleased = z.infer<typeof fundsReleasedSchema>;

/**
 * The withdrawal has been paid: the one settlement of its life, on the account's stream. Never undone: the payment may lose its
 * block, and then it is broadcast again, but the customer has had it. Postings: debit `reserved:<id>` of all that was
 * reserved; credit `transit` of amount and fee, and `account:<id>` of the rest where there is one.
 */
export const withdrawalSettledSchema = z.strictObject({
  withdrawalId: idSchema,
  accountId: idSchema,
  payoutId: idSchema,
  /** Of the transaction that paid. */
  txid: hashSchema,
  amountSats: satsSchema,
  /** The account's share of the fee; 0 where the house pays. */
  feeSats: satsSchema,
  /** What was reserved and not needed. */
  releasedSats: satsSchema,
  postings: z.array(postingSchema).min(2).max(3),
});
export type WithdrawalSettled = z.infer<typeof withdrawalSettledSchema>;

/** Stream `withdrawal-<id>`. From now on this payout pays it, and no other ever will. */
export const withdrawalAssignedSchema = z.strictObject({ withdrawalId: idSchema, payoutId: idSchema });
export type WithdrawalAssigned = z.infer<typeof withdrawalAssignedSchema>;

export const waitReasonSchema = z.enum([
  /** The wallet's coins that may be spent now do not suffice. */
  'wallet-too-low',
  /** The network's fee is above `maxFeeSats` or `MAX_FEE_RATE`. */
  'fee-above-bound',
  /** A reorg took back what the account had, and left it below zero. */
  'account-frozen',
  /** Nothing says what fee is due: the node does not answer. */
  'node-unavailable',
]);
export type WaitReason = z.infer<typeof waitReasonSchema>;

/** It cannot be paid now. Written when the reason changes; stream `withdrawal-<id>`. */
export const withdrawalDeferredSchema = z.strictObject({
  withdrawalId: idSchema,
  reason: waitReasonSchema,
  detail: z.string().max(500),
});
export type WithdrawalDeferred = z.infer<typeof withdrawalDeferredSchema>;

/** It will not be paid: before it was assigned, or after its payout let go of it unsigned. Stream `withdrawal-<id>`, its last event. */
export const withdrawalCancelledSchema = z.strictObject({
  withdrawalId: idSchema,
  accountId: idSchema,
  reason: z.string().max(500).nullable(),
});
export type WithdrawalCancelled = z.infer<typeof withdrawalCancelledSchema>;

/** A person decided that its payout cannot pay any more. Stream `withdrawal-<id>`, its last event. */
export const withdrawalFailedSchema = z.strictObject({
  withdrawalId: idSchema,
  accountId: idSchema,
  payoutId: idSchema,
  reason: z.string().max(500),
});
export type WithdrawalFailed = z.infer<typeof withdrawalFailedSchema>;
