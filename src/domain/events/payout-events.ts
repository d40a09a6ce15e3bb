import { z } from 'zod';
import { hashSchema, heightSchema, idSchema, outpointSchema, satsSchema, scriptSchema } from '../primitives.js';
import { postingSchema } from '../postings.js';
import { confirmationTargetSchema } from './withdrawal-events.js';
import { branchSchema, signerSchema } from './wallet-events.js';

/** Withdrawals in one payout: an event with all of them stays far below the limit of an event's size. */
export const MAX_PAYOUT_WITHDRAWALS = 500;
/** Inputs of one transaction: with this many of the largest kind it is still standard (400,000 weight units). */
export const MAX_PAYOUT_INPUTS = 600;
/** Bytes of a transaction: twice that in hex must fit into an event. */
export const MAX_TRANSACTION_BYTES = 200_000;

export const paidWithdrawalSchema = z.strictObject({
  withdrawalId: idSchema,
  accountId: idSchema,
  address: z.string().max(200),
  script: scriptSchema,
  amountSats: satsSchema,
  maxFeeSats: satsSchema.nullable(),
});
export type PaidWithdrawal = z.infer<typeof paidWithdrawalSchema>;

/**
 * Stream `payout-<id>`, revision 0: these withdrawals of one wallet are to be paid by one transaction. Depths are fixed here, so
 * that an answer about the past does not change with the configuration.
 */
export const payoutStartedSchema = z.strictObject({
  payoutId: idSchema,
  walletId: idSchema,
  signer: signerSchema,
  withdrawals: z.array(paidWithdrawalSchema).min(1).max(MAX_PAYOUT_WITHDRAWALS),
  confirmationTarget: confirmationTargetSchema,
  /** Confirmations at which it is complete. */
  completeAt: z.number().int().min(1),
  /** Confirmations at which it is final. */
  finalAt: z.number().int().min(1),
});
export type PayoutStarted = z.infer<typeof payoutStartedSchema>;

/** A withdrawal was cancelled while nothing was signed. What was prepared with it is void; what is prepared next keeps all inputs. */
export const withdrawalRemovedSchema = z.strictObject({
  payoutId: idSchema,
  withdrawalId: idSchema,
  reason: z.string().max(500).nullable(),
});
export type WithdrawalRemoved = z.infer<typeof withdrawalRemovedSchema>;

export const plannedInputSchema = z.strictObject({
  txid: hashSchema,
  vout: z.number().int().min(0),
  amountSats: satsSchema,
  script: scriptSchema,
  derivation: z.strictObject({ branch: branchSchema, index: z.number().int().min(0) }),
  /** Below 0xfffffffe: replaceable (BIP125), and the lock time counts. */
  sequence: z.number().int().min(0).max(0xffff_fffd),
  /** Hash of the block that holds the coin; null for our own unconfirmed change. */
  blockHash: hashSchema.nullable(),
});
export type PlannedInput = z.infer<typeof plannedInputSchema>;

export const plannedOutputSchema = z.strictObject({
  script: scriptSchema,
  amountSats: satsSchema,
  /** Whose payment it is; null for change. */
  withdrawalId: idSchema.nullable(),
  /** Index on branch 1 of the wallet's descriptor, for change. */
  changeIndex: z.number().int().min(0).nullable(),
});
export type PlannedOutput = z.infer<typeof plannedOutputSchema>;

export const feeSourceSchema = z.enum(['estimate', 'floor', 'cap', 'fallback', 'asked', 'deadline']);

/** A transaction as it is to be signed, byte for byte but for the signatures. */
export const plannedTransactionSchema = z.strictObject({
  version: z.number().int(),
  locktime: z.number().int().min(0),
  inputs: z.array(plannedInputSchema).min(1).max(MAX_PAYOUT_INPUTS),
  outputs: z.array(plannedOutputSchema).min(1),
  feeSats: satsSchema,
  /** Weight once signed, at most (BIP141). */
  weight: z.number().int().min(1),
  /** Satoshis per 1000 vbytes that it was made for. */
  feeRateSatsPerKvb: satsSchema,
  /** Known before it is signed where no input has a signature in its scriptSig; null otherwise. */
  txid: hashSchema.nullable(),
});
export type PlannedTransaction = z.infer<typeof plannedTransactionSchema>;

/**
 * `payment` pays the withdrawals: the first, or one that replaces those before it and spends every input of theirs. `child` spends
 * the change of a candidate and pays for its parent (CPFP).
 */
export const candidateKindSchema = z.enum(['payment', 'child']);

/** A transaction was made, to be signed. Its coins are reserved on the wallet's stream before. */
export const candidatePreparedSchema = z.strictObject({
  payoutId: idSchema,
  /** 0, 1, 2 … in the payout. */
  candidate: z.number().int().min(0),
  kind: candidateKindSchema,
  transaction: plannedTransactionSchema,
  feeSource: feeSourceSchema,
  /** Why this fee, in words. */
  feeReason: z.string().max(500),
});
export type CandidatePrepared = z.infer<typeof candidatePreparedSchema>;

/** Checked, complete, and in the log before anybody is sent it. From the first of a payout on, nothing leads back. */
export const candidateSignedSchema = z.strictObject({
  payoutId: idSchema,
  candidate: z.number().int().min(0),
  txid: hashSchema,
  /** The raw transaction in hex. */
  transaction: z
    .string()
    .regex(/^([0-9a-f]{2})+$/)
    .max(2 * MAX_TRANSACTION_BYTES),
  /** Outpoints that it spends. */
  inputs: z.array(outpointSchema).min(1).max(MAX_PAYOUT_INPUTS),
  /** Which of its outputs are change. */
  changeVouts: z.array(z.number().int().min(0)),
  feeSats: satsSchema,
  weight: z.number().int().min(1),
});
export type CandidateSigned = z.infer<typeof candidateSignedSchema>;

/** Everything that a node's answer to a transaction can mean. */
export const nodeAnswerSchema = z.enum([
  'accepted',
  'already-known',
  'already-in-chain',
  'inputs-spent',
  'replaced-by-better',
  'fee-too-low',
  'refused',
  'unknown',
]);
export type NodeAnswerKind = z.infer<typeof nodeAnswerSchema>;

/** A signed transaction was offered to the node. Written when the answer is another than the last one to it. */
export const candidateOfferedSchema = z.strictObject({
  payoutId: idSchema,
  txid: hashSchema,
  answer: nodeAnswerSchema,
  detail: z.string().max(500),
});
export type CandidateOffered = z.infer<typeof candidateOfferedSchema>;

/** It cannot go on now; written when the reason changes. */
export const payoutDeferredSchema = z.strictObject({
  payoutId: idSchema,
  reason: z.enum([
    'wallet-too-low',
    'fee-above-bound',
    'node-unavailable',
    'signer-unavailable',
    'signer-refused',
    /** The node takes none of its payments, for good: a person has to look at what it says. */
    'node-refused',
    /** A reorg left an account that it pays for below zero; nothing is signed until that is covered. */
    'account-frozen',
  ]),
  detail: z.string().max(500),
});
export type PayoutDeferred = z.infer<typeof payoutDeferredSchema>;

/** A bump was asked for, at this fee rate or one that is enough. */
export const bumpRequestedSchema = z.strictObject({
  payoutId: idSchema,
  withdrawalId: idSchema.nullable(),
  /** Satoshis per 1000 vbytes; null: whatever the target needs now. */
  feeRateSatsPerKvb: satsSchema.nullable(),
});
export type BumpRequested = z.infer<typeof bumpRequestedSchema>;

/** The bump came to nothing, and why; the payout goes on as it was. */
export const bumpRefusedSchema = z.strictObject({
  payoutId: idSchema,
  reason: z.enum([
    'fee-too-low',
    'fee-above-bound',
    'wallet-too-low',
    'confirmed',
    'refused-by-node',
    'not-replaceable',
  ]),
  detail: z.string().max(500),
});
export type BumpRefused = z.infer<typeof bumpRefusedSchema>;

/** A coin of the payout was spent by a transaction that is not ours: an alarm. Nothing is paid until a person decides. */
export const payoutHaltedSchema = z.strictObject({
  payoutId: idSchema,
  outpoint: outpointSchema,
  byTxid: hashSchema,
  blockHash: hashSchema,
  height: heightSchema,
});
export type PayoutHalted = z.infer<typeof payoutHaltedSchema>;

/** The block with the foreign spend was taken off: the payout goes on where it stood. */
export const payoutResumedSchema = z.strictObject({ payoutId: idSchema, byTxid: hashSchema });
export type PayoutResumed = z.infer<typeof payoutResumedSchema>;

/**
 * What a person stated, after it was checked against the chain: the foreign transaction is buried `finalAt` deep.
 * `pay-again`: the payout starts over with other coins. `paid`: that transaction paid every withdrawal. `give-up`: the money goes back to the accounts.
 */
export const payoutResolvedSchema = z.strictObject({
  payoutId: idSchema,
  outcome: z.enum(['pay-again', 'paid', 'give-up']),
  byTxid: hashSchema,
  outpoint: outpointSchema,
  confirmations: z.number().int().min(1),
  note: z.string().max(500),
  /** For `paid`: debit `transit`, credit `suspense`, of what the withdrawals got. */
  postings: z.array(postingSchema),
});
export type PayoutResolved = z.infer<typeof payoutResolvedSchema>;

export const paidShareSchema = z.strictObject({
  withdrawalId: idSchema,
  accountId: idSchema,
  amountSats: satsSchema,
  /** What the account pays of the fee. */
  feeSats: satsSchema,
});

/**
 * A candidate has `completeAt` confirmations, for the first time. Settles the payout once; each account's own settlement follows
 * from `shares`. Postings: debit `fees`, credit `transit`, of the part of the fee that the house pays; none where that is 0.
 */
export const payoutSettledSchema = z.strictObject({
  payoutId: idSchema,
  txid: hashSchema,
  feeSats: satsSchema,
  houseFeeSats: satsSchema,
  shares: z.array(paidShareSchema).min(1).max(MAX_PAYOUT_WITHDRAWALS),
  postings: z.array(postingSchema).max(2),
});
export type PayoutSettled = z.infer<typeof payoutSettledSchema>;

/**
 * A candidate is buried `finalAt` deep: the end. `extraFeeSats` is what the chain took beyond what was settled (a child's fee, or
 * another candidate after a reorg), may be negative. Postings: debit `fees`, credit `transit`, of that.
 */
export const payoutClosedSchema = z.strictObject({
  payoutId: idSchema,
  txid: hashSchema,
  extraFeeSats: z.string().regex(/^(0|-?[1-9][0-9]{0,15})$/),
  postings: z.array(postingSchema).max(2),
});
export type PayoutClosed = z.infer<typeof payoutClosedSchema>;

/** Every withdrawal was taken out before anything was signed. */
export const payoutCancelledSchema = z.strictObject({ payoutId: idSchema });
export type PayoutCancelled = z.infer<typeof payoutCancelledSchema>;

/** Stream `wallet-<id>`: these coins are for this payout alone, until they are given back. All or none. */
export const coinsReservedSchema = z.strictObject({
  walletId: idSchema,
  payoutId: idSchema,
  coins: z
    .array(z.strictObject({ outpoint: outpointSchema, amountSats: satsSchema }))
    .min(1)
    .max(MAX_PAYOUT_INPUTS),
});
export type CoinsReserved = z.infer<typeof coinsReservedSchema>;

/**
 * Stream `wallet-<id>`. `spent`: their spend is buried. `conflict`: a spend of the same coins' payout by somebody else is buried.
 * `unsigned`: the payout was cancelled, or prepared otherwise, before anything was signed. Never by a clock.
 */
export const coinsReleasedSchema = z.strictObject({
  walletId: idSchema,
  payoutId: idSchema,
  outpoints: z.array(outpointSchema).min(1).max(MAX_PAYOUT_INPUTS),
  reason: z.enum(['spent', 'conflict', 'unsigned']),
  /** Of a payout that pays again: the round that begins with this. What it reserves afterwards is not given back like this again. */
  round: z.number().int().min(1).optional(),
});
export type CoinsReleased = z.infer<typeof coinsReleasedSchema>;
