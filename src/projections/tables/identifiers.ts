import { createHash } from 'node:crypto';
import { LEDGER_PATTERN } from '../../domain/primitives.js';
import { invariant } from '../../platform/assert.js';

/** Quotes an SQL identifier. */
export function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** The schema that holds one ledger's read models. */
export function readSchema(ledger: string): string {
  return `read_${checked(ledger)}`;
}

/** Where a projection is rebuilt beside the live tables. PostgreSQL names have at most 63 bytes: 8 + 40 + 1 + 14. */
export function rebuildSchema(ledger: string, projection: string): string {
  invariant(/^[a-z]{1,14}$/.test(projection), `projection name ${projection} is not 1 to 14 letters`);
  return `rebuild_${checked(ledger)}_${projection}`;
}

/** Where `verify` replays the log. */
export function verifySchema(ledger: string): string {
  return `verify_${checked(ledger)}`;
}

function checked(ledger: string): string {
  invariant(LEDGER_PATTERN.test(ledger), `ledger ${JSON.stringify(ledger)} is not a valid name`);
  return ledger;
}

/** Key of an advisory lock: 63 bits of SHA-256, so that ledgers and purposes do not meet. As text, for a `bigint` parameter. */
export function advisoryKey(ledger: string, purpose: string): string {
  const digest = createHash('sha256').update(`tallystick:${purpose}:${ledger}`).digest();
  return digest.readBigInt64BE(0).toString();
}
