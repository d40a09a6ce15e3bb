import { describe, expect, it } from 'vitest';
import type { CommittedEvent } from '../eventstore/commit-batch.js';
import { createRecentEvents } from './recent-events.js';

function committed(...positions: number[]): CommittedEvent[] {
  return positions.map((n) => ({
    position: BigInt(n),
    id: `id-${n}`,
    stream: 's',
    revision: BigInt(n),
    type: 'AccountOpened',
    schemaVersion: 1,
    dataJson: `{"n":${n}}`,
    metadataJson: '{}',
    recordedAt: new Date(n),
  }));
}

function after(recent: ReturnType<typeof createRecentEvents>, position: number, limit = 100): number[] {
  return recent.after(BigInt(position), limit).map((event) => Number(event.position));
}

describe('recent events', () => {
  it('are those directly after a position, as far as they are known', () => {
    const recent = createRecentEvents({ maxEvents: 100, maxBytes: 10_000 });
    expect(after(recent, 0)).toEqual([]);
    recent.add(committed(5, 6));
    recent.add(committed(7));
    expect(after(recent, 4)).toEqual([5, 6, 7]);
    expect(after(recent, 5, 1)).toEqual([6]);
    expect(after(recent, 3)).toEqual([]);
    expect(after(recent, 7)).toEqual([]);
  });

  it('begin anew where another process has committed in between', () => {
    const recent = createRecentEvents({ maxEvents: 100, maxBytes: 10_000 });
    recent.add(committed(1, 2));
    recent.add(committed(4));
    expect(after(recent, 0)).toEqual([]);
    expect(after(recent, 2)).toEqual([]);
    expect(after(recent, 3)).toEqual([4]);
  });

  it('are bounded by number and by bytes', () => {
    const byNumber = createRecentEvents({ maxEvents: 3, maxBytes: 10_000 });
    byNumber.add(committed(1, 2, 3, 4, 5));
    expect(after(byNumber, 1)).toEqual([]);
    expect(after(byNumber, 2)).toEqual([3, 4, 5]);
    // Each is 9 bytes.
    const byBytes = createRecentEvents({ maxEvents: 100, maxBytes: 20 });
    for (let n = 1; n <= 5; n++) byBytes.add(committed(n));
    expect(after(byBytes, 2)).toEqual([]);
    expect(after(byBytes, 3)).toEqual([4, 5]);
  });

  it('belong to each follower alone', () => {
    const recent = createRecentEvents({ maxEvents: 3, maxBytes: 10_000 });
    recent.add(committed(1));
    const [mine] = recent.after(0n, 1);
    (mine?.data as { n: number }).n = 99;
    expect(recent.after(0n, 1)[0]?.data).toEqual({ n: 1 });
  });
});
