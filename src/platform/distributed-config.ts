import { LEDGER_PATTERN } from '../domain/primitives.js';
import { ConfigError } from './config-error.js';
import { integer, oneOf, readUrl, type Get } from './config-values.js';

/** What a process can do for a ledger. Any number of processes may have the same role. */
export const ROLES = ['api', 'follower', 'relay', 'projector', 'workflow'] as const;
export type Role = (typeof ROLES)[number];

export type EventStoreKind = 'postgres' | 'eventstoredb';

export interface KafkaConfig {
  /** `host:port` each. */
  brokers: readonly string[];
  topic: string;
  /** Partitions of the topic where we make it. */
  partitions: number;
  /** Consumer group of the projectors. */
  group: string;
}

export interface CdcConfig {
  /** REST address of Kafka Connect; undefined: not looked at. */
  connectUrl: string | undefined;
  connector: string;
  slot: string;
  publication: string;
}

/** What the environment says of how the ledger is spread over processes and machines. */
export interface DistributedConfig {
  /** Ledgers that this process works for; at least one, none twice. */
  ledgers: readonly string[];
  roles: ReadonlySet<Role>;
  eventStore: EventStoreKind;
  /** Set with `eventstoredb`; may hold a password, never logged. */
  eventStoreDbUrl: string | undefined;
  /** Undefined: projections read the outbox itself. */
  kafka: KafkaConfig | undefined;
  cdc: CdcConfig;
}

/** Far more than one process should follow; each costs connections. */
const MAX_LEDGERS = 100;
const MAX_PARTITIONS = 1_000;
const BROKER = /^[A-Za-z0-9.-]+:\d{1,5}$/;
/** Kafka's own rule for topics and, close enough, for groups and connectors. */
const KAFKA_NAME = /^[A-Za-z0-9._-]{1,200}$/;
/** PostgreSQL's rule for replication slots. */
const SLOT_NAME = /^[a-z0-9_]{1,63}$/;

/** @throws ConfigError naming the variable */
export function readDistributedConfig(get: Get): DistributedConfig {
  const eventStore = oneOf(get, 'EVENT_STORE', ['postgres', 'eventstoredb'], 'postgres');
  const eventStoreDbUrl = readUrl(get, 'EVENTSTOREDB_URL', [
    'esdb:',
    'esdb+discover:',
    'kurrentdb:',
    'kurrentdb+discover:',
  ]);
  if (eventStore === 'eventstoredb' && eventStoreDbUrl === undefined) {
    throw new ConfigError('EVENTSTOREDB_URL', "must be set when EVENT_STORE is 'eventstoredb'");
  }
  if (eventStore === 'postgres' && eventStoreDbUrl !== undefined) {
    throw new ConfigError('EVENT_STORE', "must be 'eventstoredb' when EVENTSTOREDB_URL is set");
  }
  const roles = readRoles(get);
  if (get('ROLE') !== undefined && eventStore === 'postgres' && roles.size === 1 && roles.has('relay')) {
    throw new ConfigError('ROLE', "'relay' has nothing to do when EVENT_STORE is 'postgres': appends fill the outbox");
  }
  return {
    ledgers: readLedgers(get),
    roles,
    eventStore,
    eventStoreDbUrl,
    kafka: readKafka(get),
    cdc: {
      connectUrl: readUrl(get, 'CONNECT_URL', ['http:', 'https:']),
      connector: readName(get, 'CONNECTOR_NAME', KAFKA_NAME, 'outbox'),
      slot: readName(get, 'SLOT_NAME', SLOT_NAME, 'tallystick'),
      publication: readName(get, 'PUBLICATION_NAME', SLOT_NAME, 'tallystick'),
    },
  };
}

function readLedgers(get: Get): readonly string[] {
  const names = list(get, 'LEDGER', 'main');
  const wrong = names.find((name) => !LEDGER_PATTERN.test(name));
  if (wrong !== undefined) {
    throw new ConfigError('LEDGER', `'${wrong}' is not a ledger name: 1 to 40 of a-z 0-9 -, not beginning with -`);
  }
  if (new Set(names).size < names.length) throw new ConfigError('LEDGER', 'names a ledger twice');
  if (names.length > MAX_LEDGERS) throw new ConfigError('LEDGER', `names more than ${MAX_LEDGERS} ledgers`);
  return names;
}

function readRoles(get: Get): ReadonlySet<Role> {
  const names = list(get, 'ROLE', 'all');
  if (names.length === 1 && names[0] === 'all') return new Set(ROLES);
  return new Set(
    names.map((name) => {
      const role = ROLES.find((known) => known === name);
      if (role === undefined) {
        throw new ConfigError('ROLE', `'${name}' is not all, or some of ${ROLES.join(', ')}, divided by commas`);
      }
      return role;
    }),
  );
}

function readKafka(get: Get): KafkaConfig | undefined {
  if (get('KAFKA_BROKERS') === undefined) return undefined;
  const brokers = list(get, 'KAFKA_BROKERS', '');
  const wrong = brokers.find((broker) => !BROKER.test(broker));
  if (wrong !== undefined) throw new ConfigError('KAFKA_BROKERS', `'${wrong}' is not host:port`);
  return {
    brokers,
    topic: readName(get, 'KAFKA_TOPIC', KAFKA_NAME, 'tallystick.outbox'),
    partitions: integer(get, 'KAFKA_PARTITIONS', { min: 1, max: MAX_PARTITIONS, fallback: 12 }),
    group: readName(get, 'KAFKA_GROUP', KAFKA_NAME, 'tallystick'),
  };
}

function readName(get: Get, name: string, pattern: RegExp, fallback: string): string {
  const value = get(name) ?? fallback;
  if (!pattern.test(value)) throw new ConfigError(name, `'${value}' does not match ${pattern.source}`);
  return value;
}

function list(get: Get, name: string, fallback: string): string[] {
  return (get(name) ?? fallback).split(',').map((part) => part.trim());
}
