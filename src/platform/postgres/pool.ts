import pg from 'pg';

/** `[from_position, infinity)`: the row is the present. The greatest bigint of PostgreSQL. */
export const POSITION_INFINITY = 9_223_372_036_854_775_807n;

/** The role that the application runs as: it may add to the outbox and read it, nothing else. */
export const APP_ROLE = 'tallystick_app';

const INT8_OID = 20;
const CONNECT_TIMEOUT_MS = 10_000;

export interface PoolOptions {
  /** Connections at most. */
  max?: number;
  /** Role to take on after connecting; see `appRole`. */
  role?: string | undefined;
  /** Shown in pg_stat_activity. */
  applicationName?: string;
  /** Extra session settings, e.g. `{ synchronous_commit: 'off' }`. */
  settings?: Readonly<Record<string, string>>;
  onError?: (error: Error) => void;
}

/** As the driver's own, but for `int8`. */
const getTypeParser = ((oid: number, format?: 'text' | 'binary'): unknown =>
  oid === INT8_OID && format !== 'binary'
    ? BigInt
    : pg.types.getTypeParser(oid, format)) as typeof pg.types.getTypeParser;

/** A pool whose `int8` values are bigint: positions and satoshis never pass through a float. */
export function createPool(url: string, options: PoolOptions = {}): pg.Pool {
  const settings = { ...options.settings, ...(options.role === undefined ? {} : { role: options.role }) };
  const pool = new pg.Pool({
    connectionString: url,
    max: options.max ?? 10,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    application_name: options.applicationName ?? 'tallystick',
    options: Object.entries(settings)
      .map(([name, value]) => `-c ${name}=${value}`)
      .join(' '),
    types: { getTypeParser },
  });
  // Without a listener, an idle connection that the server ends would end the process.
  pool.on('error', options.onError ?? (() => undefined));
  return pool;
}

/** `APP_ROLE` where the database has it and this user may become it, undefined elsewhere. */
export async function appRole(pool: pg.Pool): Promise<string | undefined> {
  const { rows } = await pool.query<{ may: boolean }>(
    `SELECT pg_has_role(current_user, oid, 'MEMBER') AS may FROM pg_roles WHERE rolname = $1`,
    [APP_ROLE],
  );
  return rows[0]?.may === true ? APP_ROLE : undefined;
}
