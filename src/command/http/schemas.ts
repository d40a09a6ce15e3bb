import { z } from 'zod';
import { signerSchema } from '../../domain/events/wallet-events.js';
import { confirmationTargetSchema } from '../../domain/events/withdrawal-events.js';
import { hashSchema, idSchema } from '../../domain/primitives.js';
import { isStorable, jsonObjectSchema } from './json-object.js';

/**
 * Bodies of commands. What is wrong in form is refused here (400); what is well-formed and still not valid (an amount of
 * zero, an address of another network) is refused by the decision (422), and kept.
 */

export const positionSchema = z
  .string()
  .regex(/^[1-9][0-9]{0,18}$/)
  .meta({ description: "Position of the command's last event, for `Ledger-Min-Position`", example: '42' });

/** Digits enough for every amount that makes sense and for some that do not: those are told apart by the decision. */
const amountSchema = z
  .string()
  .regex(/^-?(0|[1-9][0-9]{0,29})$/, 'must be satoshis as a decimal string')
  .transform((text) => BigInt(text))
  .meta({ description: 'Satoshis, as a decimal string', example: '150000' });

/** Amounts in answers. */
const satsAnswerSchema = z.string().meta({ description: 'Satoshis, as a decimal string', example: '150000' });

export const openAccountBody = z.strictObject({
  accountId: idSchema.meta({ example: 'alice' }),
  metadata: jsonObjectSchema.optional(),
});
export const openAccountAnswer = z.object({ accountId: z.string(), position: positionSchema });

export const createWalletBody = z.strictObject({
  walletId: idSchema.meta({ example: 'hot' }),
  descriptor: z
    .string()
    .max(1_000, 'must be at most 1000 characters')
    .optional()
    .meta({ description: 'Public output descriptor (BIP380): pkh, wpkh, sh(wpkh) or tr with a ranged xpub or tpub' }),
  changeDescriptor: z
    .string()
    .max(1_000, 'must be at most 1000 characters')
    .optional()
    .meta({ description: 'Descriptor of the change branch; `<0;1>` in `descriptor` gives both' }),
  gapLimit: z.number().int().min(1).max(10_000).optional(),
  signer: signerSchema.optional(),
});
export const createWalletAnswer = z.object({
  walletId: z.string(),
  descriptor: z.string().nullable(),
  changeDescriptor: z.string().nullable(),
  signer: signerSchema,
  position: positionSchema,
});

export const issueAddressBody = z.strictObject({ accountId: idSchema.optional() });
export const issueAddressAnswer = z.object({
  address: z.string(),
  index: z.number().int(),
  script: z.string(),
  position: positionSchema,
});

/** Longer than every script and address, so that those are told by the decision. */
const MAX_SCRIPT_TEXT = 20_002;
const MAX_ADDRESS_TEXT = 200;

export const watchScriptBody = z
  .strictObject({
    script: z.string().max(MAX_SCRIPT_TEXT, 'must be at most 10000 bytes in hex').optional(),
    address: z.string().max(MAX_ADDRESS_TEXT, 'must be an address').optional(),
    accountId: idSchema.optional(),
  })
  .refine(
    ({ script, address }) => (script === undefined) !== (address === undefined),
    'must have either script or address',
  )
  .meta({ oneOf: [{ required: ['script'] }, { required: ['address'] }] });
export const watchScriptAnswer = z.object({
  script: z.string(),
  address: z.string().nullable(),
  position: positionSchema,
});

export const sendTransferBody = z.strictObject({
  transferId: idSchema.optional(),
  fromAccountId: idSchema.meta({ example: 'alice' }),
  toAccountId: idSchema.meta({ example: 'bob' }),
  amountSats: amountSchema,
});
export const sendTransferAnswer = z.object({
  transferId: z.string(),
  fromAccountId: z.string(),
  toAccountId: z.string(),
  amountSats: satsAnswerSchema,
  position: positionSchema,
});

/** Room for whom it may concern, not for documents. */
const reasonSchema = z
  .string()
  .max(500, 'must be at most 500 characters')
  .refine(isStorable, 'must be well-formed Unicode without U+0000');

export const requestWithdrawalBody = z.strictObject({
  withdrawalId: idSchema
    .optional()
    .meta({ description: 'Unique in the ledger; made from the key where it is left out' }),
  accountId: idSchema.meta({ example: 'alice' }),
  walletId: idSchema.optional().meta({ description: 'The wallet that pays; may be left out where that is clear' }),
  address: z.string().min(1).max(MAX_ADDRESS_TEXT, 'must be an address'),
  amountSats: amountSchema,
  maxFeeSats: amountSchema
    .optional()
    .meta({ description: 'The account pays the network’s fee up to this much; left out: the house pays it' }),
  confirmationTarget: confirmationTargetSchema
    .optional()
    .meta({ description: 'Blocks within which it should be paid' }),
});
export const requestWithdrawalAnswer = z.object({
  withdrawalId: z.string(),
  status: z.literal('requested'),
  position: positionSchema,
});
export const cancelWithdrawalBody = z.strictObject({ reason: reasonSchema.optional() });
export const cancelWithdrawalAnswer = z.object({
  withdrawalId: z.string(),
  status: z.literal('cancelled'),
  position: positionSchema,
});
export const bumpWithdrawalBody = z.strictObject({
  feeRateSatsPerVbyte: z
    .number()
    .min(0.1)
    .max(1_000_000)
    .optional()
    .meta({ description: 'Left out: what its confirmation target needs now', example: 12.5 }),
});
export const bumpWithdrawalAnswer = z.object({
  withdrawalId: z.string(),
  payoutId: z.string(),
  status: z.enum(['signed', 'broadcast']),
  position: positionSchema,
});
export const acceptSignedAnswer = z.object({
  payoutId: z.string(),
  status: z.literal('signed'),
  txid: z.string(),
  position: positionSchema,
});
export const resolvePayoutBody = z.strictObject({
  outcome: z.enum(['pay-again', 'paid', 'give-up']).meta({
    description:
      '`pay-again`: with other coins. `paid`: that transaction paid every withdrawal. `give-up`: the accounts get their money back.',
  }),
  byTxid: hashSchema.meta({ description: 'The foreign transaction that took a coin of the payout' }),
  note: reasonSchema.optional(),
});
export const resolvePayoutAnswer = z.object({
  payoutId: z.string(),
  status: z.enum(['started', 'settled', 'given-up']),
  position: positionSchema,
});

export const pushBlockAnswer = z.object({
  hash: z.string(),
  height: z.number().int(),
  outcome: z.enum(['connected', 'reorganised', 'side-branch', 'already-known']),
  disconnected: z.array(z.string()),
  connected: z.array(z.string()),
  position: positionSchema,
});

/** The built-in chain keeps every block in memory; a day of real blocks is 144. */
const MAX_DEV_BLOCKS = 10_000;

export const devMineBody = z.strictObject({
  blocks: z.number().int().min(1).max(MAX_DEV_BLOCKS),
  address: z.string().max(MAX_ADDRESS_TEXT).optional(),
});
export const devMineAnswer = z.object({ hashes: z.array(z.string()) });
export const devPayBody = z.strictObject({ address: z.string().max(MAX_ADDRESS_TEXT), amountSats: amountSchema });
export const devPayAnswer = z.object({ txid: z.string() });
export const devReorgBody = z.strictObject({
  depth: z.number().int().min(1).max(MAX_DEV_BLOCKS),
  blocks: z.number().int().min(1).max(MAX_DEV_BLOCKS),
  dropTransactions: z.boolean().optional(),
});
export const devReorgAnswer = z.object({ disconnected: z.array(z.string()), connected: z.array(z.string()) });
