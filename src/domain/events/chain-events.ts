import { z } from 'zod';
import {
  hashSchema,
  heightSchema,
  idSchema,
  networkSchema,
  outpointSchema,
  satsSchema,
  scriptSchema,
} from '../primitives.js';
import { branchSchema } from './wallet-events.js';

/** Where the ledger's view of the chain begins: the genesis block, or the block named by configuration. Revision 0 of `chain-<network>`. */
export const chainOpenedSchema = z.strictObject({
  network: networkSchema,
  hash: hashSchema,
  height: heightSchema,
  /** Null where only height and hash are known. */
  prevHash: hashSchema.nullable(),
  time: z.number().int().min(0).nullable(),
  bits: z.number().int().min(0).nullable(),
});
export type ChainOpened = z.infer<typeof chainOpenedSchema>;

/**
 * How deep a deposit must be before it is available. An event, because an answer about the past must not change when the
 * configuration does. Holds for every deposit that is still pending when it is recorded.
 */
export const depositPolicySetSchema = z.strictObject({
  network: networkSchema,
  depositConfirmations: z.number().int().min(1).max(1000),
  /** Consensus: 100 (Bitcoin Core, `COINBASE_MATURITY`). */
  coinbaseMaturity: z.number().int().min(1).max(1000),
});
export type DepositPolicySet = z.infer<typeof depositPolicySetSchema>;

/** An output that pays one of our scripts. */
export const receivedSchema = z.strictObject({
  txid: hashSchema,
  vout: z.number().int().min(0),
  amountSats: satsSchema,
  script: scriptSchema,
  address: z.string().max(200).nullable(),
  walletId: idSchema,
  accountId: idSchema.nullable(),
  coinbase: z.boolean(),
  /** Where in the wallet's descriptor the script stands; null for a script watched by hand. */
  derivation: z.strictObject({ branch: branchSchema, index: z.number().int().min(0) }).nullable(),
  /** The payout whose change it is: an output of its own transaction that pays none of its withdrawals; null for all others. */
  payoutId: idSchema.nullable(),
});
export type Received = z.infer<typeof receivedSchema>;

/** An input that spends one of our coins. */
export const spentSchema = z.strictObject({
  txid: hashSchema,
  vin: z.number().int().min(0),
  prevTxid: hashSchema,
  prevVout: z.number().int().min(0),
  amountSats: satsSchema,
  script: scriptSchema,
  address: z.string().max(200).nullable(),
  walletId: idSchema,
  accountId: idSchema.nullable(),
  /** The payout whose transaction spends it; null where the transaction is none that we made. */
  payoutId: idSchema.nullable(),
});
export type Spent = z.infer<typeof spentSchema>;

/** What a transaction that pays us spends itself, so that a conflict can be recognised after a reorg. */
export const fundingSchema = z.strictObject({ txid: hashSchema, inputs: z.array(outpointSchema) });
export type Funding = z.infer<typeof fundingSchema>;

/** A transaction that once paid us and lost its block can never confirm on this branch: `byTxid` spends its input. */
export const conflictSchema = z.strictObject({ txid: hashSchema, byTxid: hashSchema, outpoint: outpointSchema });
export type Conflict = z.infer<typeof conflictSchema>;

export const foundSchema = z.strictObject({
  received: z.array(receivedSchema),
  spent: z.array(spentSchema),
  /** One entry per transaction of `received` that is not a coinbase; may continue in the next part. */
  funding: z.array(fundingSchema),
  conflicts: z.array(conflictSchema),
});
export type Found = z.infer<typeof foundSchema>;

/** A part of what a block holds for us; counts from the `BlockConnected` that closes it, and not at all without one. */
export const transfersFoundSchema = z.strictObject({
  network: networkSchema,
  blockHash: hashSchema,
  /** 0, 1, 2 … */
  part: z.number().int().min(0),
  found: foundSchema,
});
export type TransfersFound = z.infer<typeof transfersFoundSchema>;

/**
 * A block became the tip. `parts` events of type `TransfersFound` directly before this one on the stream belong to it
 * and come first in block order; `found` is the rest (all of it where `parts` is 0).
 */
export const blockConnectedSchema = z.strictObject({
  network: networkSchema,
  hash: hashSchema,
  height: heightSchema,
  prevHash: hashSchema,
  /** Seconds since 1970, as the miner wrote it. */
  time: z.number().int().min(0),
  bits: z.number().int().min(0),
  size: z.number().int().min(0),
  transactionCount: z.number().int().min(0),
  parts: z.number().int().min(0),
  found: foundSchema,
});
export type BlockConnected = z.infer<typeof blockConnectedSchema>;

/** The tip was taken off. Undoes the `BlockConnected` at `connectedRevision` of the same stream, with its parts. */
export const blockDisconnectedSchema = z.strictObject({
  network: networkSchema,
  hash: hashSchema,
  height: heightSchema,
  prevHash: hashSchema,
  connectedRevision: z.number().int().min(0),
});
export type BlockDisconnected = z.infer<typeof blockDisconnectedSchema>;
