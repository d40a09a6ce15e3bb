import type { ReadDatabase } from './database.js';

export interface EventRecord {
  position: bigint;
  id: string;
  stream: string;
  revision: bigint;
  type: string;
  data: unknown;
  metadata: unknown;
  recordedAt: Date;
}

export interface EventCriteria {
  type?: string;
  stream?: string;
  /** Events on the account's stream, and those that brought it an entry. */
  accountId?: string;
  afterPosition?: bigint;
  beforePosition?: bigint;
}

interface Row {
  position: bigint;
  id: string;
  stream: string;
  revision: bigint;
  type: string;
  data: unknown;
  metadata: unknown;
  recorded_at: Date;
}

/** Events below `before`, newest first. A statement of its own for each combination of criteria. */
export async function listEvents(
  database: ReadDatabase,
  criteria: EventCriteria,
  page: { before: bigint; limit: number },
): Promise<EventRecord[]> {
  const { schema, ledger } = database;
  const { beforePosition, afterPosition } = criteria;
  const before = beforePosition !== undefined && beforePosition < page.before ? beforePosition : page.before;
  const values: unknown[] = [ledger, before, afterPosition ?? 0n, page.limit];
  let name = '';
  const conditions = (['type', 'stream'] as const).map((column) => {
    const value = criteria[column];
    if (value === undefined) return '';
    values.push(value);
    name += `-${column}`;
    return ` AND l.${column} = $${values.length}::text`;
  });
  const within = (column: string): string => `${column} < $2::bigint AND ${column} > $3::bigint`;
  let source = `SELECT l.position FROM ${schema}.log l WHERE ${within('l.position')}${conditions.join('')}
    ORDER BY l.position DESC LIMIT $4::int`;
  if (criteria.accountId !== undefined) {
    values.push(criteria.accountId, `account-${criteria.accountId}`);
    name += '-account';
    source = concerning(schema, within, conditions.join(''), { account: values.length - 1, stream: values.length });
  }
  const rows = await database.rows<Row>(
    `query.events${name}`,
    `SELECT o.position, o.id, o.stream, o.revision, o.type, o.data, o.metadata, o.recorded_at
     FROM (${source}) p JOIN outbox o ON o.ledger = $1 AND o.position = p.position
     ORDER BY o.position DESC`,
    values,
  );
  return rows.map(({ recorded_at: recordedAt, ...row }) => ({ ...row, recordedAt }));
}

/** Both ways to concern an account are walked newest first, each no further than the page. */
function concerning(
  schema: string,
  within: (column: string) => string,
  conditions: string,
  parameters: { account: number; stream: number },
): string {
  return `SELECT position FROM (
      (SELECT l.position FROM ${schema}.log l
       WHERE l.stream = $${parameters.stream}::text AND ${within('l.position')}${conditions}
       ORDER BY l.position DESC LIMIT $4::int)
      UNION
      (SELECT DISTINCT e.position FROM ${schema}.account_entry e
       JOIN ${schema}.log l ON l.position = e.position${conditions}
       WHERE e.account_id = $${parameters.account}::text AND ${within('e.position')}
       ORDER BY e.position DESC LIMIT $4::int)
    ) concerned ORDER BY position DESC LIMIT $4::int`;
}
