import { describe, expect, it } from 'vitest';
import { eventUpcaster } from '../domain/events/upcast.js';
import { FatalError } from '../platform/errors.js';
import { DEFAULT_APPEND_LIMITS, type AppendLimits } from './append-limits.js';
import type { BatchedAppend, BatchResult } from './commit-batch.js';
import type { AppendResult } from './event-store.js';
import { createGroupCommit, type GroupCommit } from './group-commit.js';
import { prepareAppend, type PreparedAppend } from './prepare-append.js';

const UUID = '00000000-0000-8000-8000-000000000000';

function append(stream: string, revision: bigint | 'no-stream' = 'no-stream', key?: string): PreparedAppend {
  return prepareAppend(
    {
      stream,
      expectedRevision: revision,
      events: [{ id: UUID, type: 'AccountOpened', schemaVersion: 1, data: {}, metadata: {} }],
      ...(key === undefined ? {} : { idempotency: { key, requestHash: '0'.repeat(64), outcome: {} } }),
    },
    eventUpcaster,
  );
}

const APPENDED: AppendResult = {
  kind: 'appended',
  position: 1n,
  revision: 0n,
  recordedAt: new Date(0),
  alreadyThere: false,
};

function accepted(batch: readonly BatchedAppend[]): BatchResult {
  return { results: batch.map(() => APPENDED), events: [], refused: false };
}

function sqlError(code: string): Error {
  return Object.assign(new Error(`SQLSTATE ${code}`), { code });
}

function streamsOf(batch: readonly BatchedAppend[]): string[] {
  return batch.map((waiting) => waiting.append.stream);
}

/** A group commit whose database is this function; keeps the batches that it was sent. */
function setUp(
  commit: (batch: readonly BatchedAppend[]) => Promise<BatchResult> | BatchResult,
  limits: Partial<AppendLimits> = {},
): { group: GroupCommit; batches: string[][] } {
  const batches: string[][] = [];
  const group = createGroupCommit(
    { ...DEFAULT_APPEND_LIMITS, ...limits },
    async (batch) => {
      batches.push(streamsOf(batch));
      return await commit(batch);
    },
    () => undefined,
  );
  return { group, batches };
}

describe('group commit', () => {
  it('commits together what comes together, and what comes during a commit next', async () => {
    const { group, batches } = setUp(accepted);
    const first = [group.add(append('a')), group.add(append('b'))];
    await new Promise(setImmediate);
    const second = [group.add(append('c')), group.add(append('d'))];
    await Promise.all([...first, ...second]);
    expect(batches).toEqual([
      ['a', 'b'],
      ['c', 'd'],
    ]);
  });

  it('sends the next batch before anybody hears of the last one: the database works while we answer', async () => {
    const seen: string[] = [];
    const { group } = setUp(
      async (batch) => {
        // As the pool does: a connection, and with it the statement, only after the promise reactions that are due.
        await new Promise((resolve) => process.nextTick(resolve));
        seen.push(`sent ${streamsOf(batch).join()}`);
        await new Promise(setImmediate);
        return accepted(batch);
      },
      { maxBatchAppends: 1 },
    );
    await Promise.all(
      ['a', 'b', 'c'].map(async (stream) => {
        await group.add(append(stream));
        seen.push(`answered ${stream}`);
      }),
    );
    expect(seen).toEqual(['sent a', 'sent b', 'answered a', 'sent c', 'answered b', 'answered c']);
  });

  it('keeps the order within its limits of number and bytes', async () => {
    const { group, batches } = setUp(accepted, { maxBatchAppends: 2 });
    await Promise.all(['a', 'b', 'c', 'd', 'e'].map((stream) => group.add(append(stream))));
    expect(batches).toEqual([['a', 'b'], ['c', 'd'], ['e']]);
    const bytes = setUp(accepted, { maxBatchBytes: append('a').bytes });
    await Promise.all(['a', 'b'].map((stream) => bytes.group.add(append(stream))));
    expect(bytes.batches).toEqual([['a'], ['b']]);
  });

  it('never sends a key twice in one batch', async () => {
    const { group, batches } = setUp(accepted);
    await Promise.all([
      group.add(append('a', 'no-stream', 'k')),
      group.add(append('b', 'no-stream', 'l')),
      group.add(append('c', 'no-stream', 'k')),
      group.add(append('d')),
    ]);
    expect(batches).toEqual([
      ['a', 'b'],
      ['c', 'd'],
    ]);
  });

  it('takes half of those who are about, so that the database works while they are answered', async () => {
    const { group, batches } = setUp(accepted);
    await Promise.all(
      Array.from({ length: 200 }, async (_, client) => {
        for (let turn = 0; turn < 5; turn++) await group.add(append(`${client}`));
      }),
    );
    expect(batches.slice(0, 8).map(({ length }) => length)).toEqual(Array(8).fill(100));
  });

  it.each(['22P02', '23505', '54001'])(
    'lets the one append fail alone that makes the statement fail (%s)',
    async (code) => {
      const poison = 'f';
      const { group } = setUp((batch) => {
        if (streamsOf(batch).includes(poison)) throw sqlError(code);
        return accepted(batch);
      });
      const streams = [...'abcdefgh'];
      const results = await Promise.allSettled(streams.map((stream) => group.add(append(stream))));
      results.forEach((result, index) => {
        if (streams[index] === poison)
          expect(result).toMatchObject({ reason: { retryable: false, facts: { sqlState: code } } });
        else expect(result).toMatchObject({ value: { kind: 'appended' } });
      });
    },
  );

  it.each(['08006', '57P01', '40001', '', 'ECONNRESET'])(
    'says that the outcome is not known when the connection breaks (%s)',
    async (code) => {
      let calls = 0;
      const { group } = setUp((batch) => {
        calls += 1;
        if (calls === 1) throw sqlError(code);
        return accepted(batch);
      });
      const results = await Promise.allSettled([group.add(append('a')), group.add(append('b'))]);
      for (const result of results) {
        expect(result).toMatchObject({ reason: { retryable: true } });
        expect((result as PromiseRejectedResult).reason).toHaveProperty(
          'message',
          expect.stringMatching(/outcome unknown/),
        );
      }
      expect(await group.add(append('c'))).toEqual(APPENDED);
      expect(calls).toBe(2);
    },
  );

  it('does not ask to try again where the database is not set up', async () => {
    const { group } = setUp(() => {
      throw sqlError('42883');
    });
    await expect(group.add(append('a'))).rejects.toBeInstanceOf(FatalError);
  });

  it('refuses what could never fit', async () => {
    const { group } = setUp(accepted, { maxQueuedBytes: 100 });
    await expect(group.add(append('a'))).rejects.toMatchObject({ retryable: false });
  });
});
