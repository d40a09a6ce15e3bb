import { Kafka, logLevel } from 'kafkajs';

/**
 * A consumer of the outbox's topic that only counts, in a process of its own: what the pipeline can do where nobody does anything with
 * the events. Started with brokers, topic and a ledger; says that it has joined, and then the count whenever asked for.
 */
const [brokers, topic, ledger] = process.argv.slice(2);
if (brokers === undefined || topic === undefined || ledger === undefined) {
  throw new Error('usage: counting-consumer <brokers> <topic> <ledger>');
}
const kafka = new Kafka({ brokers: brokers.split(','), clientId: 'bench', logLevel: logLevel.ERROR });
const consumer = kafka.consumer({
  groupId: `count-${ledger}`,
  // As the projections read.
  maxWaitTimeInMs: 500,
  minBytes: 1,
  maxBytesPerPartition: 4 * 1024 * 1024,
});
let count = 0;
let until = Number.POSITIVE_INFINITY;
process.on('message', (wanted: number) => {
  until = wanted;
  tell();
});
process.on('disconnect', () => void consumer.disconnect().finally(() => process.exit(0)));

function tell(): void {
  if (count >= until) process.send?.({ counted: count });
}

consumer.on('consumer.group_join', () => process.send?.({ joined: true }));
await consumer.connect();
await consumer.subscribe({ topic, fromBeginning: true });
await consumer.run({
  eachBatch: ({ batch }) => {
    for (const { key } of batch.messages) if (key?.toString('latin1') === ledger) count += 1;
    tell();
    return Promise.resolve();
  },
});
