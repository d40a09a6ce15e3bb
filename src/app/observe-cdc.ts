import type pg from 'pg';
import { queryRows } from '../eventstore/query-rows.js';
import { isLost, type SlotRow } from '../outbox/kafka/cdc-health.js';
import type { KafkaSource } from '../outbox/kafka/kafka-source.js';
import type { LedgerMetrics } from '../platform/metrics.js';

/** Columns that older servers lack are read through JSON. */
const SQL = `SELECT to_jsonb(s) || jsonb_build_object(
    'here', s.database = current_database(),
    'lag', pg_wal_lsn_diff(pg_current_wal_lsn(), s.confirmed_flush_lsn)::text,
    'kept', pg_wal_lsn_diff(pg_current_wal_lsn(), s.restart_lsn)::text) AS slot
  FROM pg_replication_slots s WHERE s.slot_name = $1`;

/** `idle`: nobody reads from it. `lost`: PostgreSQL has given it up. `missing`: there is none. */
type SlotState = 'streaming' | 'idle' | 'lost' | 'missing';

/**
 * The leg from the outbox to Kafka, as PostgreSQL sees it: what Kafka Connect says of itself is not enough, one whose slot was invalidated
 * says RUNNING. Read once per scrape. Every process that has Kafka configured reports the same.
 */
export function observeSlot(metrics: LedgerMetrics, { pool, slot: name }: { pool: pg.Pool; slot: string }): void {
  let slot: SlotRow | undefined;
  let state: SlotState | undefined;
  const bytes = (text: string | null | undefined): { labels: { slot: string }; value: number }[] =>
    typeof text === 'string' ? [{ labels: { slot: name }, value: Number(text) }] : [];
  metrics.observe(
    'slot_state',
    '1 for the state that the replication slot of the outbox is in.',
    ['slot', 'state'],
    () => (state === undefined ? [] : [{ labels: { slot: name, state }, value: 1 }]),
  );
  metrics.observe('slot_lag_bytes', 'Bytes of WAL that the connector has not confirmed.', ['slot'], () =>
    bytes(slot?.lag),
  );
  metrics.observe('slot_kept_bytes', 'Bytes of WAL that PostgreSQL keeps on disk for the connector.', ['slot'], () =>
    bytes(slot?.kept),
  );
  metrics.beforeScrape(
    async () => {
      const query = { name: 'replication-slot', text: SQL, values: [name] };
      const [row] = await queryRows<{ slot: SlotRow }>(pool, query, 'look at the replication slot');
      slot = row?.slot;
      state = stateOf(slot);
    },
    () => {
      slot = undefined;
      state = undefined;
    },
  );
}

function stateOf(slot: SlotRow | undefined): SlotState {
  if (slot === undefined) return 'missing';
  if (isLost(slot)) return 'lost';
  return slot.active ? 'streaming' : 'idle';
}

/** What this process reads from Kafka. */
export function observeKafka(metrics: LedgerMetrics, source: Pick<KafkaSource, 'status'>): void {
  metrics.observe('kafka_state', '1 for the state that the consumer of this process is in.', ['state'], () => [
    { labels: { state: source.status().state }, value: 1 },
  ]);
  metrics.observe('kafka_partitions_assigned', 'Partitions that the group has given to this process.', [], () => [
    { value: source.status().assigned.length },
  ]);
  metrics.observe('kafka_lag_messages', 'Messages in its partitions that this process has not read.', [], () => [
    { value: Number(source.status().lagMessages) },
  ]);
}
