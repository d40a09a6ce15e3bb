import type pg from 'pg';
import { queryRows } from '../../eventstore/query-rows.js';
import { createConnectApi } from './connect-api.js';
import { countPartitions, type TopicSpec } from './ensure-topic.js';
import { createKafka } from './kafka-client.js';

export type CdcPart = 'wal_level' | 'publication' | 'slot' | 'lag' | 'topic' | 'connector';

/** `unknown`: was not looked at, because it is not configured where. `warning`: works, and will not for ever. */
export interface CdcFinding {
  part: CdcPart;
  state: 'ok' | 'warning' | 'wrong' | 'unknown';
  detail: string;
  /** What to do. */
  remedy?: string;
}

export interface CdcTarget {
  pool: pg.Pool;
  slot: string;
  publication: string;
  connector: string;
  /** REST address of Kafka Connect. */
  connectUrl: string | undefined;
  kafka: (TopicSpec & { brokers: readonly string[] }) | undefined;
}

/** WAL that waits for the connector. A fifth of what `debezium/postgresql.conf` keeps for it: somebody should look. */
const LAG_WARNING_BYTES = 400n * 1024n * 1024n;

/** As one statement: one moment. Columns that older servers lack are read through JSON. */
const SQL = `SELECT current_setting('wal_level') AS wal_level,
  (SELECT jsonb_build_object('insert', p.pubinsert, 'other', p.pubupdate OR p.pubdelete OR p.pubtruncate,
      'outbox', EXISTS (SELECT FROM pg_publication_tables t
        WHERE t.pubname = p.pubname AND t.schemaname = 'public' AND t.tablename = 'outbox'))
    FROM pg_publication p WHERE p.pubname = $1) AS publication,
  (SELECT to_jsonb(s) || jsonb_build_object(
      'here', s.database = current_database(),
      'lag', pg_wal_lsn_diff(pg_current_wal_lsn(), s.confirmed_flush_lsn)::text,
      'kept', pg_wal_lsn_diff(pg_current_wal_lsn(), s.restart_lsn)::text)
    FROM pg_replication_slots s WHERE s.slot_name = $2) AS slot`;

export interface SlotRow {
  plugin: string | null;
  active: boolean;
  active_pid: number | null;
  wal_status: string | null;
  invalidation_reason?: string | null;
  here: boolean;
  lag: string | null;
  kept: string | null;
}

interface Row {
  wal_level: string;
  publication: { insert: boolean; other: boolean; outbox: boolean } | null;
  slot: SlotRow | null;
}

/**
 * Looks at everything between the outbox and Kafka, part by part. The slot is read from the database: one that was invalidated
 * Connect reports as RUNNING.
 *
 * @throws RetryableError, FatalError where the database cannot be asked; everything else that fails is a finding
 */
export async function checkCdc(target: CdcTarget): Promise<CdcFinding[]> {
  const query = { name: 'check-cdc', text: SQL, values: [target.publication, target.slot] };
  const [row] = await queryRows<Row>(target.pool, query, 'look at the replication slot');
  if (row === undefined) throw new Error('one row was asked for');
  return [
    judgeWalLevel(row),
    judgePublication(row, target),
    judgeSlot(row.slot, target),
    judgeLag(row.slot),
    await judgeTopic(target),
    await judgeConnector(target),
  ];
}

function judgeWalLevel({ wal_level: level }: Row): CdcFinding {
  if (level === 'logical') return { part: 'wal_level', state: 'ok', detail: 'logical' };
  return {
    part: 'wal_level',
    state: 'wrong',
    detail: `wal_level is ${level}`,
    remedy: 'set wal_level = logical (debezium/postgresql.conf) and restart PostgreSQL',
  };
}

function judgePublication({ publication }: Row, { publication: name }: CdcTarget): CdcFinding {
  const part = 'publication';
  const again = `DROP PUBLICATION ${name}, then: tallystick cdc setup`;
  if (publication === null) {
    return { part, state: 'wrong', detail: `there is no publication ${name}`, remedy: 'tallystick cdc setup' };
  }
  if (!publication.outbox) {
    return { part, state: 'wrong', detail: `publication ${name} does not hold the outbox`, remedy: again };
  }
  if (!publication.insert) {
    return { part, state: 'wrong', detail: `publication ${name} does not publish inserts`, remedy: again };
  }
  if (publication.other) {
    return { part, state: 'warning', detail: `publication ${name} publishes more than inserts`, remedy: again };
  }
  return { part, state: 'ok', detail: `${name} publishes inserts of the outbox` };
}

/** Whether the slot can never be read from again. */
export function isLost(slot: SlotRow): boolean {
  return slot.wal_status === 'lost' || (slot.invalidation_reason ?? null) !== null;
}

function judgeSlot(slot: SlotRow | null, { slot: name }: CdcTarget): CdcFinding {
  const part = 'slot';
  const repair = 'tallystick cdc repair (consumers read what they missed from the outbox)';
  if (slot === null) return { part, state: 'wrong', detail: `there is no replication slot ${name}`, remedy: repair };
  if (!slot.here) {
    return {
      part,
      state: 'wrong',
      detail: `slot ${name} belongs to another database`,
      remedy: 'give this deployment a slot of its own: slot.name in the connector, SLOT_NAME here',
    };
  }
  if (slot.plugin !== 'pgoutput') {
    return { part, state: 'wrong', detail: `slot ${name} is not one of pgoutput`, remedy: repair };
  }
  if (isLost(slot)) {
    const why = slot.invalidation_reason ?? `wal_status ${slot.wal_status ?? ''}`;
    return {
      part,
      state: 'wrong',
      detail: `slot ${name} was invalidated (${why}): nothing is streamed`,
      remedy: repair,
    };
  }
  if (!slot.active) {
    return {
      part,
      state: 'wrong',
      detail: `nobody reads from slot ${name}`,
      remedy: 'see the connector below; it is back a few seconds after Connect or PostgreSQL was started again',
    };
  }
  if (slot.wal_status === 'unreserved') {
    return {
      part,
      state: 'warning',
      detail: `slot ${name} is so far behind that it is about to be invalidated`,
      remedy: 'let the connector catch up: is the broker slow, or away?',
    };
  }
  return { part, state: 'ok', detail: `${name} is read by pid ${slot.active_pid ?? '?'}` };
}

function judgeLag(slot: SlotRow | null): CdcFinding {
  const part = 'lag';
  if (slot === null || slot.lag === null) return { part, state: 'unknown', detail: 'there is no slot to measure' };
  const lag = BigInt(slot.lag);
  const detail = `${lag} bytes of WAL not confirmed, ${slot.kept ?? '?'} bytes kept`;
  if (lag <= LAG_WARNING_BYTES) return { part, state: 'ok', detail };
  return {
    part,
    state: 'warning',
    detail,
    remedy: 'the connector does not keep up, or is away: see slot and connector',
  };
}

async function judgeTopic({ kafka }: CdcTarget): Promise<CdcFinding> {
  const part = 'topic';
  if (kafka === undefined) return { part, state: 'unknown', detail: 'KAFKA_BROKERS is not set' };
  const { brokers, topic, partitions: wanted } = kafka;
  const admin = createKafka({ brokers, clientId: 'tallystick-cdc-check', retries: 2 }).admin();
  try {
    await admin.connect();
    const partitions = await countPartitions(admin, topic);
    if (partitions === undefined) {
      return {
        part,
        state: 'wrong',
        detail: `there is no topic ${topic}`,
        remedy: 'start a projector, or: tallystick cdc setup. Either makes it',
      };
    }
    if (partitions === wanted) return { part, state: 'ok', detail: `${topic} has ${partitions} partitions` };
    return {
      part,
      state: 'warning',
      detail: `${topic} has ${partitions} partitions, KAFKA_PARTITIONS says ${wanted}`,
      remedy:
        partitions < wanted
          ? 'kafka-topics --alter --partitions, or another KAFKA_PARTITIONS'
          : 'correct KAFKA_PARTITIONS',
    };
  } catch (error) {
    return {
      part,
      state: 'wrong',
      detail: `the broker does not answer at ${brokers.join(', ')}: ${error instanceof Error ? error.message : String(error)}`,
      remedy: 'start the broker; projections read the outbox meanwhile',
    };
  } finally {
    await admin.disconnect();
  }
}

async function judgeConnector({ connectUrl, connector }: CdcTarget): Promise<CdcFinding> {
  const part = 'connector';
  if (connectUrl === undefined) return { part, state: 'unknown', detail: 'CONNECT_URL is not set' };
  try {
    const status = await createConnectApi(connectUrl, connector).status();
    if (status === undefined) {
      return {
        part,
        state: 'wrong',
        detail: `Kafka Connect has no connector ${connector}`,
        remedy: 'register debezium/connector.json',
      };
    }
    const failed = status.tasks.find(({ state }) => state === 'FAILED');
    if (status.state === 'FAILED' || failed !== undefined) {
      return {
        part,
        state: 'wrong',
        detail: `connector ${connector} has failed: ${failed?.trace ?? 'see the log of Kafka Connect'}`,
        remedy: 'mend what it says, then: tallystick cdc repair',
      };
    }
    if (status.state !== 'RUNNING') {
      return {
        part,
        state: 'wrong',
        detail: `connector ${connector} is ${status.state}`,
        remedy: `PUT /connectors/${connector}/resume`,
      };
    }
    if (!status.tasks.some(({ state }) => state === 'RUNNING')) {
      return {
        part,
        state: 'wrong',
        detail: `connector ${connector} says RUNNING and has no task that runs`,
        remedy: 'if the slot was invalidated: tallystick cdc repair; else look at the log of Kafka Connect',
      };
    }
    return { part, state: 'ok', detail: `${connector} is running` };
  } catch (error) {
    return {
      part,
      state: 'wrong',
      detail: error instanceof Error ? error.message : String(error),
      remedy: 'start Kafka Connect; projections read the outbox meanwhile',
    };
  }
}

/** For `GET /health/ready`: red where something is wrong between the outbox and Kafka. Projections go on all the same. */
export function createCdcHealthCheck(target: CdcTarget): {
  name: string;
  check: () => Promise<{ ok: boolean; detail: string }>;
} {
  return {
    name: 'cdc',
    check: async () => {
      const findings = await checkCdc(target);
      const bad = findings.filter(({ state }) => state === 'wrong' || state === 'warning');
      const detail = bad.length === 0 ? 'streams' : bad.map(({ detail: text }) => text).join('; ');
      return { ok: !bad.some(({ state }) => state === 'wrong'), detail };
    },
  };
}
