import type pg from 'pg';
import { textArray, uuidArray } from '../../platform/postgres/binary-array.js';
import { toPlatformError } from '../database-error.js';
import { RetryableError } from '../../platform/errors.js';

/** Where an append stands in the outbox. */
export interface RelayedAppend {
  /** Undefined where only the key was asked for. */
  position: bigint | undefined;
  recordedAt: Date | undefined;
  /** What its key was answered, undefined where the key has no outcome. */
  outcome: { requestHash: string; outcome: unknown; position: bigint | null } | undefined;
}

export interface RelayedWaiter {
  /**
   * Waits until the relay has put an event into the outbox, or, without an event, until a key has an outcome.
   *
   * @throws RetryableError when the relay does not come in time
   */
  wait(what: { id: string | undefined; key: string | undefined }): Promise<RelayedAppend>;
  /** Something was relayed. */
  wake(): void;
  close(): void;
}

interface Waiting {
  id: string | undefined;
  key: string | undefined;
  untilMs: number;
  resolve(relayed: RelayedAppend): void;
  reject(error: Error): void;
}

interface Row {
  n: bigint;
  position: bigint | null;
  recorded_at: Date | null;
  request_hash: string | null;
  outcome: unknown;
  outcome_position: bigint | null;
}

const RELAYED_SQL = 'SELECT * FROM relayed_appends($1, $2, $3)';
const NO_ID = '00000000-0000-0000-0000-000000000000';
/** The safety net under notifications. */
const POLL_MS = 100;
/** Looked for in one statement. */
const MAX_LOOKED_FOR = 1000;

/** One query for all that wait, woken by the relay's commits. */
export function createRelayedWaiter(options: {
  pool: pg.Pool;
  ledger: string;
  timeoutMs: number;
  /** Of a look: nobody is answered, or given up, while one is under way. */
  statementTimeoutMs: number;
}): RelayedWaiter {
  const { pool, ledger, timeoutMs, statementTimeoutMs } = options;
  const waiting = new Set<Waiting>();
  let isLooking = false;
  let isWoken = false;
  let timer: NodeJS.Timeout | undefined;

  function look(): void {
    if (isLooking) {
      isWoken = true;
      return;
    }
    if (waiting.size === 0) return;
    isLooking = true;
    isWoken = false;
    clearTimeout(timer);
    void lookOnce().then(() => {
      isLooking = false;
      if (waiting.size === 0) return;
      if (isWoken) setImmediate(look);
      else timer = setTimeout(look, POLL_MS);
    });
  }

  async function lookOnce(): Promise<void> {
    const asked = [...waiting].slice(0, MAX_LOOKED_FOR);
    try {
      const query: pg.QueryConfig & { query_timeout: number } = {
        name: 'relayed-appends',
        text: RELAYED_SQL,
        query_timeout: statementTimeoutMs,
        values: [ledger, uuidArray(asked.map(({ id }) => id ?? NO_ID)), textArray(asked.map(({ key }) => key ?? null))],
      };
      const { rows } = await pool.query<Row>(query);
      for (const row of rows) {
        const found = asked[Number(row.n) - 1];
        if (found === undefined || (found.id !== undefined && row.position === null)) continue;
        waiting.delete(found);
        found.resolve(toRelayed(row));
      }
      // Those at the front go to the back, where others wait that did not fit.
      if (waiting.size > MAX_LOOKED_FOR) {
        for (const item of asked) if (waiting.delete(item)) waiting.add(item);
        isWoken = true;
      }
      expire(undefined);
    } catch (error) {
      expire(toPlatformError(error, 'look into the outbox'));
    }
  }

  function expire(cause: Error | undefined): void {
    const now = performance.now();
    for (const item of waiting) {
      if (item.untilMs > now) continue;
      waiting.delete(item);
      const message =
        'outcome unknown: what was appended has not come into the outbox yet; the same request may be sent again';
      item.reject(new RetryableError(message, {}, cause && { cause }));
    }
  }

  return {
    wait: ({ id, key }) =>
      new Promise((resolve, reject) => {
        waiting.add({ id, key, untilMs: performance.now() + timeoutMs, resolve, reject });
        // What is appended at once is looked for at once.
        setImmediate(look);
      }),
    wake: look,
    close: () => {
      clearTimeout(timer);
    },
  };
}

function toRelayed(row: Row): RelayedAppend {
  return {
    position: row.position ?? undefined,
    recordedAt: row.recorded_at ?? undefined,
    outcome:
      row.request_hash === null
        ? undefined
        : { requestHash: row.request_hash, outcome: row.outcome, position: row.outcome_position },
  };
}
