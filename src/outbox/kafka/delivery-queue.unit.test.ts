import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createDeliveryQueue, type Delivered } from './delivery-queue.js';

const WIDE = { maxMessages: 1_000_000, maxBytes: 1_000_000_000 };
const at = (position: bigint, bytes = 1): Delivered => ({ position, bytes });
const positionsOf = (messages: readonly Delivered[]): bigint[] => messages.map(({ position }) => position);

/** Some of 1 … n, each any number of times, in nearly any order. */
const deliveries = fc.record({
  count: fc.integer({ min: 0, max: 60 }),
  picks: fc.array(fc.integer({ min: 1, max: 60 }), { maxLength: 200 }),
});

describe('a delivery queue', () => {
  it('gives what comes directly after, once, and drops what is known', () => {
    const queue = createDeliveryQueue(WIDE);
    for (const position of [40n, 41n, 42n, 42n, 41n, 43n]) queue.offer(at(position));
    const { step, duplicates, seenUpTo } = queue.take(41n, 10, 1000);
    expect(step).toEqual({ kind: 'apply', messages: [at(42n), at(43n)] });
    expect({ duplicates, seenUpTo }).toEqual({ duplicates: 4, seenUpTo: 43n });
    expect(queue.take(43n, 10, 1000).step).toEqual({ kind: 'nothing' });
  });

  it('stops at a hole, says where it ends, and goes on when it has been filled', () => {
    const queue = createDeliveryQueue(WIDE);
    for (const position of [42n, 45n, 46n]) queue.offer(at(position));
    expect(queue.take(41n, 10, 1000).step).toEqual({ kind: 'apply', messages: [at(42n)] });
    expect(queue.take(42n, 10, 1000).step).toEqual({ kind: 'missing', found: 45n });
    expect(queue.take(43n, 10, 1000).step).toEqual({ kind: 'missing', found: 45n });
    expect(queue.take(44n, 10, 1000).step).toEqual({ kind: 'apply', messages: [at(45n), at(46n)] });
  });

  it('is bounded by count and by bytes, but always takes a first one', () => {
    const queue = createDeliveryQueue({ maxMessages: 2, maxBytes: 10 });
    expect(queue.fits(at(1n, 100))).toBe(true);
    queue.offer(at(1n, 100));
    expect(queue.fits(at(2n, 1))).toBe(false);
    queue.clear();
    queue.offer(at(1n, 4));
    expect(queue.fits(at(2n, 6))).toBe(true);
    expect(queue.fits(at(2n, 7))).toBe(false);
    queue.offer(at(2n, 1));
    expect(queue.fits(at(3n, 1))).toBe(false);
    expect(() => {
      queue.offer(at(3n, 1));
    }).toThrow(/must fit/);
  });

  it('bounds what it gives at once, by count and by bytes, but always gives one', () => {
    const queue = createDeliveryQueue(WIDE);
    for (let position = 1n; position <= 6n; position += 1n) queue.offer(at(position, 10));
    expect(queue.take(0n, 2, 1000).step).toEqual({ kind: 'apply', messages: [at(1n, 10), at(2n, 10)] });
    expect(queue.take(2n, 100, 25).step).toEqual({ kind: 'apply', messages: [at(3n, 10), at(4n, 10)] });
    expect(queue.take(4n, 100, 5).step).toEqual({ kind: 'apply', messages: [at(5n, 10)] });
    expect(queue.bytes).toBe(10);
    expect(queue.length).toBe(1);
  });

  it('gives again what was put back, before the rest', () => {
    const queue = createDeliveryQueue(WIDE);
    for (const position of [1n, 2n, 3n, 4n]) queue.offer(at(position));
    const { step } = queue.take(0n, 3, 1000);
    queue.putBack(step.kind === 'apply' ? step.messages.slice(1) : []);
    expect(queue.take(1n, 10, 1000).step).toEqual({ kind: 'apply', messages: [at(2n), at(3n), at(4n)] });
    expect(queue.bytes).toBe(0);
  });

  it('never skips and never repeats, whatever comes how often in which order, holes filled from elsewhere', () => {
    let holes = 0;
    let repeated = 0;
    fc.assert(
      fc.property(deliveries, fc.integer({ min: 1, max: 7 }), ({ count, picks }, limit) => {
        const queue = createDeliveryQueue(WIDE);
        const applied: bigint[] = [];
        const last = (): bigint => BigInt(applied.length);
        for (const pick of picks.filter((position) => position <= count)) {
          queue.offer(at(BigInt(pick)));
          // Sometimes it is looked at at once, sometimes some wait.
          if (pick % 3 === 0) continue;
          for (;;) {
            const { step, duplicates } = queue.take(last(), limit, 1000);
            repeated += duplicates;
            if (step.kind === 'nothing') break;
            if (step.kind === 'apply') applied.push(...positionsOf(step.messages));
            else {
              holes += 1;
              expect(step.found).toBeGreaterThan(last() + 1n);
              applied.push(last() + 1n);
            }
          }
        }
        expect(applied).toEqual(Array.from({ length: applied.length }, (_, i) => BigInt(i + 1)));
        expect(queue.bytes).toBe(queue.length);
      }),
      { numRuns: 1000 },
    );
    expect(holes).toBeGreaterThan(300);
    expect(repeated).toBeGreaterThan(300);
  });

  it('holds on to nothing that it gave: thousands pass through, and it is empty', () => {
    const queue = createDeliveryQueue(WIDE);
    let position = 0n;
    for (let round = 0; round < 50; round += 1) {
      for (let i = 1n; i <= 100n; i += 1n) queue.offer(at(position + i, 3));
      const { step } = queue.take(position, 1000, 1_000_000);
      expect(step).toMatchObject({ kind: 'apply' });
      position += 100n;
    }
    expect(queue.length).toBe(0);
    expect(queue.bytes).toBe(0);
  });
});
