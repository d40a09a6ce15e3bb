import { describe, expect, it } from 'vitest';
import { ConfigError } from './config-error.js';
import { readDistributedConfig, ROLES } from './distributed-config.js';

const read = (env: Record<string, string> = {}) => readDistributedConfig((name) => env[name]);

describe('the configuration of a deployment over several processes', () => {
  it('is one process with everything, without Kafka, where nothing is said', () => {
    expect(read()).toEqual({
      ledgers: ['main'],
      roles: new Set(ROLES),
      eventStore: 'postgres',
      eventStoreDbUrl: undefined,
      kafka: undefined,
      cdc: { connectUrl: undefined, connector: 'outbox', slot: 'tallystick', publication: 'tallystick' },
    });
  });

  it('reads projections from Kafka where there are brokers', () => {
    expect(read({ KAFKA_BROKERS: 'a:9092, b.example:9093' }).kafka).toEqual({
      brokers: ['a:9092', 'b.example:9093'],
      topic: 'tallystick.outbox',
      partitions: 12,
      group: 'tallystick',
    });
    const env = { KAFKA_BROKERS: 'a:1', KAFKA_TOPIC: 't', KAFKA_PARTITIONS: '3', KAFKA_GROUP: 'g' };
    expect(read(env).kafka).toEqual({ brokers: ['a:1'], topic: 't', partitions: 3, group: 'g' });
  });

  it('knows lists of ledgers and of roles', () => {
    const env = { LEDGER: 'a, b-2', ROLE: 'projector,workflow' };
    expect(read(env).ledgers).toEqual(['a', 'b-2']);
    expect([...read(env).roles]).toEqual(['projector', 'workflow']);
  });

  it.each<[string, Record<string, string>]>([
    ['KAFKA_BROKERS', { KAFKA_BROKERS: 'broker' }],
    ['KAFKA_BROKERS', { KAFKA_BROKERS: 'a:9092,' }],
    ['KAFKA_TOPIC', { KAFKA_BROKERS: 'a:1', KAFKA_TOPIC: 'a topic' }],
    ['KAFKA_PARTITIONS', { KAFKA_BROKERS: 'a:1', KAFKA_PARTITIONS: '0' }],
    ['KAFKA_GROUP', { KAFKA_BROKERS: 'a:1', KAFKA_GROUP: 'a/b' }],
    ['CONNECT_URL', { CONNECT_URL: 'connect:8083' }],
    ['CONNECTOR_NAME', { CONNECTOR_NAME: 'a b' }],
    ['SLOT_NAME', { SLOT_NAME: 'With-Capitals' }],
    ['LEDGER', { LEDGER: 'a,B' }],
    ['LEDGER', { LEDGER: 'a,a' }],
    ['ROLE', { ROLE: 'everything' }],
    ['ROLE', { ROLE: 'all,api' }],
    ['ROLE', { ROLE: 'relay' }],
    ['EVENT_STORE', { EVENT_STORE: 'kafka' }],
    ['EVENT_STORE', { EVENTSTOREDB_URL: 'esdb://user:secret@localhost:2113' }],
    ['EVENTSTOREDB_URL', { EVENT_STORE: 'eventstoredb' }],
    ['EVENTSTOREDB_URL', { EVENT_STORE: 'eventstoredb', EVENTSTOREDB_URL: 'http://user:secret@localhost' }],
  ])('names %s where it is wrong: %j', (name, env) => {
    let thrown: unknown;
    try {
      read(env);
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toBeInstanceOf(ConfigError);
    expect((thrown as Error).message).toContain(name);
    // It may hold a password.
    expect((thrown as Error).message).not.toContain('secret');
  });
});
