import type { Queryable } from '../log-reader.js';
import { quoted, readSchema } from '../tables/identifiers.js';

export interface ScriptOwner {
  /** Hex. */
  script: string;
  walletId: string;
  accountId: string | null;
  address: string | null;
  /** Where in the wallet's descriptor it stands; null for a script watched by hand. */
  derivation: { branch: number; index: number } | null;
  /** Position at which it was first watched. */
  position: bigint;
}

export interface ScriptRecord {
  script: string;
  wallet_id: string;
  account_id: string | null;
  address: string | null;
  branch: number | null;
  index: number | null;
  position: bigint;
}

export const SCRIPT_COLUMNS = 'script, wallet_id, account_id, address, branch, index, position';

/** Owners of the scripts that are watched, as far as the read model has reached; the others are not in the map. */
export async function readScriptOwners(
  database: Queryable,
  ledger: string,
  scripts: readonly string[],
): Promise<Map<string, ScriptOwner>> {
  const { rows } = await database.query<ScriptRecord>({
    name: `script_owners.${ledger}`,
    text: `SELECT ${SCRIPT_COLUMNS} FROM ${quoted(readSchema(ledger))}.script WHERE script = ANY($1::text[])`,
    values: [scripts],
  });
  return new Map(rows.map((record) => [record.script, scriptOwner(record)]));
}

export function scriptOwner(record: ScriptRecord): ScriptOwner {
  const { branch, index } = record;
  return {
    script: record.script,
    walletId: record.wallet_id,
    accountId: record.account_id,
    address: record.address,
    derivation: branch === null || index === null ? null : { branch, index },
    position: record.position,
  };
}
