import { describe, expect, it } from 'vitest';
import { Gatherer } from './gatherer.js';

/** Look-ups that the test lets finish by hand. */
function manual(maxBatch: number, maxRunning: number) {
  const running: { keys: readonly number[]; finish: (failure?: Error) => void }[] = [];
  const gatherer = new Gatherer<number, string>({
    maxBatch,
    maxRunning,
    load: (keys) =>
      new Promise((resolve, reject) => {
        running.push({
          keys,
          finish: (failure) => {
            if (failure !== undefined) reject(failure);
            else resolve(new Map(keys.filter((key) => key < 100).map((key) => [key, `v${key}`])));
          },
        });
      }),
  });
  return { gatherer, running };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(() => setImmediate(resolve)));

describe('Gatherer', () => {
  it('asks for everything that came in the same turn at once, each key once', async () => {
    const { gatherer, running } = manual(10, 1);
    const answers = [1, 2, 1, 100].map((key) => gatherer.get(key));
    await turn();
    expect(running.map(({ keys }) => keys)).toEqual([[1, 2, 100]]);
    running[0]?.finish();
    expect(await Promise.all(answers)).toEqual(['v1', 'v2', 'v1', undefined]);
  });

  it('gathers while look-ups run, and never answers from one that began before the question', async () => {
    const { gatherer, running } = manual(10, 1);
    const first = gatherer.get(1);
    await turn();
    const second = [gatherer.get(1), gatherer.get(2)];
    await turn();
    expect(running).toHaveLength(1);
    running[0]?.finish();
    expect(await first).toBe('v1');
    await turn();
    expect(running[1]?.keys).toEqual([1, 2]);
    running[1]?.finish();
    expect(await Promise.all(second)).toEqual(['v1', 'v2']);
  });

  it('keeps to its limits', async () => {
    const { gatherer, running } = manual(3, 2);
    const answers = Array.from({ length: 10 }, (_, key) => gatherer.get(key));
    for (let n = 0; n < 4; n++) {
      await turn();
      expect(running.length - n).toBeLessThanOrEqual(2);
      expect(running[n]?.keys.length).toBeLessThanOrEqual(3);
      running[n]?.finish();
    }
    expect(await Promise.all(answers)).toEqual(Array.from({ length: 10 }, (_, key) => `v${key}`));
  });

  it('fails those that were asked for together, and goes on', async () => {
    const { gatherer, running } = manual(10, 1);
    const failing = [gatherer.get(1), gatherer.get(2)];
    await turn();
    const later = gatherer.get(3);
    running[0]?.finish(new Error('away'));
    expect((await Promise.allSettled(failing)).map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    await turn();
    running[1]?.finish();
    expect(await later).toBe('v3');
  });
});
