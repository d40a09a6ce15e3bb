import type pg from 'pg';
import { byteaArray, int8Array, jsonArray, textArray } from '../../platform/postgres/binary-array.js';
import { toPlatformError } from '../database-error.js';
import type { StoredOutcome } from '../event-store.js';

/** A key that is to be claimed for an append, or given the outcome of a rejection. */
export interface ClaimRequest {
  key: string;
  requestHash: string;
  /** Where the append can come to be, in EventStoreDB's revisions; undefined for a rejection. */
  slot: { stream: string; expected: bigint } | undefined;
  attempt: string;
  /** The attempt before, which cannot come to be any more. */
  replaces: string | undefined;
  /** Of a rejection. */
  outcomeJson: string | undefined;
}

export type Claim =
  /** `repeated`: the key was claimed before, by whomever. */
  | { kind: 'claimed'; repeated: boolean }
  | { kind: 'rejected'; recordedAt: Date }
  | { kind: 'used'; stored: StoredOutcome }
  /** Another process is at it. */
  | { kind: 'held' }
  /** An earlier attempt may still come to be: it is to be looked into first. */
  | { kind: 'open'; attempt: string; slot: { stream: string; expected: bigint } }
  /** It changed at this moment. */
  | { kind: 'again' };

interface ClaimRow {
  kind: string;
  repeated: boolean;
  request_hash: string | null;
  outcome: unknown;
  position: bigint | null;
  recorded_at: Date | null;
  attempt: string | null;
  stream: string | null;
  expected: bigint | null;
}

const CLAIM_SQL = `SELECT * FROM claim_commands($1, $2, $3, $4, $5, $6, $7, $8::uuid[], $9::uuid[], $10)`;

/**
 * Claims keys in one statement. No key may appear twice.
 *
 * @throws RetryableError, FatalError
 */
export async function claimCommands(
  pool: pg.Pool,
  claim: { ledger: string; owner: string; ttlMs: number; timeoutMs: number },
  requests: readonly ClaimRequest[],
): Promise<Claim[]> {
  try {
    const query: pg.QueryConfig & { query_timeout: number } = {
      name: 'claim-commands',
      text: CLAIM_SQL,
      query_timeout: claim.timeoutMs,
      values: [
        claim.ledger,
        claim.owner,
        claim.ttlMs,
        textArray(requests.map(({ key }) => key)),
        byteaArray(requests.map(({ requestHash }) => requestHash)),
        textArray(requests.map(({ slot }) => slot?.stream ?? null)),
        int8Array(requests.map(({ slot }) => slot?.expected ?? null)),
        requests.map(({ attempt }) => attempt),
        requests.map(({ replaces }) => replaces ?? null),
        jsonArray(requests.map(({ outcomeJson }) => outcomeJson ?? null)),
      ],
    };
    return (await pool.query<ClaimRow>(query)).rows.map(toClaim);
  } catch (error) {
    throw toPlatformError(error, 'claim of idempotency keys');
  }
}

function toClaim(row: ClaimRow): Claim {
  const { kind, request_hash: requestHash, recorded_at: recordedAt, attempt, stream, expected } = row;
  if (kind === 'claimed') return { kind, repeated: row.repeated };
  if (kind === 'rejected' && recordedAt !== null) return { kind, recordedAt };
  if (kind === 'used' && requestHash !== null) {
    return { kind, stored: { requestHash, outcome: row.outcome, position: row.position } };
  }
  if (kind === 'held') return { kind };
  if (kind === 'open' && attempt !== null && stream !== null && expected !== null) {
    return { kind, attempt, slot: { stream, expected } };
  }
  return { kind: 'again' };
}

/** Gives claims back whose attempts cannot come to be any more. */
export async function releaseClaims(
  pool: pg.Pool,
  claim: { ledger: string; owner: string; timeoutMs: number },
  claims: readonly { key: string; attempt: string }[],
): Promise<void> {
  try {
    const query: pg.QueryConfig & { query_timeout: number } = {
      text: 'SELECT release_claims($1, $2, $3, $4::uuid[])',
      query_timeout: claim.timeoutMs,
      values: [
        claim.ledger,
        claim.owner,
        textArray(claims.map(({ key }) => key)),
        claims.map(({ attempt }) => attempt),
      ],
    };
    await pool.query(query);
  } catch (error) {
    throw toPlatformError(error, 'release of claims');
  }
}
