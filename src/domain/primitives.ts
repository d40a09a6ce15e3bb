import { z } from 'zod';

/** No more than this many satoshis can ever exist: 21 million coins (Bitcoin Core, `MAX_MONEY`). */
export const MAX_MONEY_SATS = 2_100_000_000_000_000n;

/** Ids that clients choose: accounts, wallets, transfers, withdrawals. */
export const ID_PATTERN = /^[A-Za-z0-9_.:-]{1,64}$/;

/** The unit of order and tenancy. Short enough that `read_<ledger>` is a PostgreSQL name, and always a valid Kafka key. */
export const LEDGER_PATTERN = /^[a-z0-9][a-z0-9-]{0,39}$/;

export const idSchema = z.string().regex(ID_PATTERN, 'must be 1 to 64 of the characters A-Z a-z 0-9 _ . : -');

/** Satoshis as they stand in JSON: a decimal string, zero or more, at most 21 million coins. */
export const satsSchema = z
  .string()
  // What is no number must not come to the next check, where BigInt would throw.
  .regex(/^(0|[1-9][0-9]{0,15})$/, { error: 'must be satoshis as a decimal string', abort: true })
  .refine((text) => BigInt(text) <= MAX_MONEY_SATS, 'must be at most 21 million coins');

/** Satoshis with a sign, as in postings. */
export const signedSatsSchema = z
  .string()
  .regex(/^(0|-?[1-9][0-9]{0,15})$/, 'must be satoshis as a decimal string with an optional minus sign');

/** A block hash or txid in the order that people read (big-endian), lower case. */
export const hashSchema = z.string().regex(/^[0-9a-f]{64}$/, 'must be 64 lower-case hex digits');

/** Any scriptPubKey; consensus allows up to 10,000 bytes to be spent. */
export const scriptSchema = z
  .string()
  .regex(/^([0-9a-f]{2}){0,10000}$/, 'must be lower-case hex of at most 10000 bytes');

export const networkSchema = z.enum(['regtest', 'signet', 'testnet4', 'mainnet']);

export const heightSchema = z.number().int().min(0).max(0x7fffffff);

/** `txid:vout`. */
export const outpointSchema = z.string().regex(/^[0-9a-f]{64}:(0|[1-9][0-9]{0,9})$/, 'must be txid:vout');
