import { z } from 'zod';
import { idSchema, networkSchema, scriptSchema } from '../primitives.js';

export const signerSchema = z.enum(['none', 'http', 'local']);
export type Signer = z.infer<typeof signerSchema>;

/** 0: the addresses that are handed out. 1: change. */
export const branchSchema = z.union([z.literal(0), z.literal(1)]);
export type Branch = z.infer<typeof branchSchema>;

/** Stream `wallet-<walletId>`, revision 0. Descriptors are public (BIP380), each with one `*`; null for a wallet of scripts by hand. */
export const walletCreatedSchema = z.strictObject({
  walletId: idSchema,
  network: networkSchema,
  descriptor: z.string().max(1000).nullable(),
  changeDescriptor: z.string().max(1000).nullable(),
  gapLimit: z.number().int().min(1).max(10_000),
  signer: signerSchema,
});
export type WalletCreated = z.infer<typeof walletCreatedSchema>;

/** An address of the descriptor was handed out; from now on its deposits belong to the account, or to the house. */
export const addressIssuedSchema = z.strictObject({
  walletId: idSchema,
  accountId: idSchema.nullable(),
  branch: branchSchema,
  index: z.number().int().min(0).max(0x7fffffff),
  script: scriptSchema,
  address: z.string().max(200),
});
export type AddressIssued = z.infer<typeof addressIssuedSchema>;

/** A script is watched by hand. */
export const scriptWatchedSchema = z.strictObject({
  walletId: idSchema,
  accountId: idSchema.nullable(),
  script: scriptSchema,
  address: z.string().max(200).nullable(),
});
export type ScriptWatched = z.infer<typeof scriptWatchedSchema>;
