import fc from 'fast-check';
import { Partitioners } from 'kafkajs';
import { describe, expect, it } from 'vitest';
import { partitionOfLedger } from './partition-of-ledger.js';

const name = fc.stringMatching(/^[a-z0-9][a-z0-9-]{0,39}$/);

describe('the partition of a ledger', () => {
  it("is that of a Kafka client's default partitioner", () => {
    const partitioner = Partitioners.DefaultPartitioner();
    fc.assert(
      fc.property(name, fc.integer({ min: 1, max: 100 }), (ledger, count) => {
        const partitionMetadata = Array.from({ length: count }, (_, partitionId) => ({
          partitionId,
          leader: 1,
          partitionErrorCode: 0,
          replicas: [1],
          isr: [1],
        }));
        const message = { key: ledger, value: '' };
        expect(partitionOfLedger(ledger, count)).toBe(partitioner({ topic: 't', message, partitionMetadata }));
      }),
      { numRuns: 500 },
    );
  });

  it('is where the connector put the ledger main', () => {
    expect(partitionOfLedger('main', 12)).toBe(3);
  });
});
