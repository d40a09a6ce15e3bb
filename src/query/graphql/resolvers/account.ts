import { pageSize, toConnection } from '../../connection.js';
import type { PageArgs } from '../../connection.js';
import { decodeCursor, encodeCursor } from '../../cursor.js';
import type { View } from '../../reader.js';
import { listEntries } from '../../sql/list-entries.js';
import { readAccounts } from '../../sql/read-accounts.js';
import type { AccountRecord } from '../../sql/read-accounts.js';
import { ID_PATTERN } from '../../../domain/primitives.js';
import type { FieldResolvers, Resolve } from '../resolver.js';

export interface AccountSource extends AccountRecord {
  view: View;
}

/** The account as of the view's moment; undefined where it was not open then. */
export async function loadAccount(view: View, id: string): Promise<AccountSource | undefined> {
  if (!ID_PATTERN.test(id)) return undefined;
  const record = await view.load('account', id, (ids: readonly string[]) => readAccounts(view.database, view.at, ids));
  return record === undefined ? undefined : { ...record, view };
}

const entries: Resolve<AccountSource, PageArgs> = async ({ accountId, view }, args) => {
  const size = pageSize(args.first);
  const keys = decodeCursor('entry', ['position', 'int'], args.after);
  const before = keys === undefined ? undefined : { position: BigInt(keys[0] ?? ''), n: Number(keys[1]) };
  const rows = await view.load(`entries(${size},${args.after ?? ''})`, accountId, (ids: readonly string[]) =>
    listEntries(view.database, view.at, ids, { before, limit: size + 1 }),
  );
  return toConnection(
    rows ?? [],
    { size, hasPrevious: before !== undefined },
    ({ position, n }) => encodeCursor('entry', [position, n]),
    (entry) => entry,
  );
};

export const ACCOUNT: FieldResolvers = {
  id: ({ accountId }: AccountSource) => accountId,
  entries,
};
