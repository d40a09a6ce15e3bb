import { createHash, randomUUID } from 'node:crypto';
import fc from 'fast-check';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Outbox } from '../outbox/outbox.js';
import { BusyError } from '../platform/errors.js';
import type { AppendLimits } from './append-limits.js';
import {
  EventTooLargeError,
  MAX_EVENT_BYTES,
  type AppendRequest,
  type AppendResult,
  type EventStore,
  type ExpectedRevision,
  type NewEvent,
  type RecordedEvent,
} from './event-store.js';

/** What an implementation brings to be held to the contract. */
export interface EventStoreHarness {
  /** Another instance on the same log, as another process would have it. */
  open(limits?: Partial<AppendLimits>): EventStore;
  outbox: Outbox;
  drop(): Promise<void>;
}

/** A new event; its data says which one it is. */
export function newEvent(data: unknown = {}, id: string = randomUUID()): NewEvent {
  return { id, type: 'AccountOpened', schemaVersion: 1, data, metadata: {} };
}

export function hashOf(request: string): string {
  return createHash('sha256').update(request).digest('hex');
}

function isAppended(result: AppendResult): result is Extract<AppendResult, { kind: 'appended' }> {
  return result.kind === 'appended';
}

/** Everything in the log, read page by page. */
export async function readAll(outbox: Outbox): Promise<RecordedEvent[]> {
  const events: RecordedEvent[] = [];
  for (;;) {
    const page = await outbox.read(events.at(-1)?.position ?? 0n, 100);
    if (page.length === 0) return events;
    events.push(...page);
  }
}

/** The laws of the port. Every implementation runs these, unchanged. */
export function describeEventStoreContract(name: string, createHarness: () => Promise<EventStoreHarness>): void {
  describe(`${name} keeps the contract of the event store`, () => {
    let harness: EventStoreHarness;
    let store: EventStore;
    let counter = 0;
    let stream: string;

    beforeAll(async () => {
      harness = await createHarness();
      store = harness.open();
    });
    afterAll(async () => {
      await store.close();
      await harness.drop();
    });
    beforeEach(() => {
      counter += 1;
      stream = `account-${counter}`;
    });

    function append(expectedRevision: ExpectedRevision, ...events: NewEvent[]): Promise<AppendResult> {
      return store.append({ stream, expectedRevision, events });
    }

    function keyed(key: string, request: string, overrides: Partial<AppendRequest> = {}): AppendRequest {
      const idempotency = { key: `${stream}/${key}`, requestHash: hashOf(request), outcome: { status: 201, request } };
      return { stream, expectedRevision: 'no-stream', events: [newEvent()], ...overrides, idempotency };
    }

    async function laws(): Promise<RecordedEvent[]> {
      const events = await readAll(harness.outbox);
      expect(events.map(({ position }) => position)).toEqual(events.map((_, index) => BigInt(index + 1)));
      expect(await harness.outbox.head()).toBe(BigInt(events.length));
      const revisions = new Map<string, bigint>();
      let recordedAt = new Date(0);
      for (const event of events) {
        expect(event.revision).toBe((revisions.get(event.stream) ?? -1n) + 1n);
        revisions.set(event.stream, event.revision);
        expect(event.recordedAt >= recordedAt).toBe(true);
        recordedAt = event.recordedAt;
      }
      expect(new Set(events.map(({ id }) => id)).size).toBe(events.length);
      return events;
    }

    describe('expected revisions', () => {
      it('starts a stream at revision 0 and goes on from there', async () => {
        const head = await harness.outbox.head();
        const first = await append('no-stream', newEvent({ n: 0 }), newEvent({ n: 1 }));
        expect(first).toMatchObject({ kind: 'appended', revision: 1n, position: head + 2n, alreadyThere: false });
        expect(await append(1n, newEvent({ n: 2 }))).toMatchObject({ revision: 2n, position: head + 3n });
        const events = await store.readStream(stream, 0n, 10);
        expect(events.map(({ revision, data }) => [revision, data])).toEqual([
          [0n, { n: 0 }],
          [1n, { n: 1 }],
          [2n, { n: 2 }],
        ]);
      });

      it('answers the actual revision where the expected one is wrong, and appends nothing', async () => {
        expect(await append(0n, newEvent())).toEqual({ kind: 'wrong-expected-revision', actual: 'no-stream' });
        await append('no-stream', newEvent());
        const head = await harness.outbox.head();
        expect(await append('no-stream', newEvent())).toEqual({ kind: 'wrong-expected-revision', actual: 0n });
        expect(await append(1n, newEvent())).toEqual({ kind: 'wrong-expected-revision', actual: 0n });
        expect(await harness.outbox.head()).toBe(head);
      });

      it('refuses one append alone and never those that are committed with it', async () => {
        const results = await Promise.all([
          store.append({ stream: `${stream}a`, expectedRevision: 'no-stream', events: [newEvent()] }),
          store.append({ stream: `${stream}b`, expectedRevision: 7n, events: [newEvent()] }),
          store.append({ stream: `${stream}c`, expectedRevision: 'no-stream', events: [newEvent()] }),
        ]);
        expect(results.map(({ kind }) => kind)).toEqual(['appended', 'wrong-expected-revision', 'appended']);
        await laws();
      });

      it('lets exactly one of many with the same expected revision through', async () => {
        await append('no-stream', newEvent());
        const results = await Promise.all(Array.from({ length: 50 }, () => append(0n, newEvent())));
        expect(results.filter(isAppended)).toHaveLength(1);
        expect(await store.readStream(stream, 0n, 10)).toHaveLength(2);
      });
    });

    describe('chains: appends that build on appends that are still under way', () => {
      it('commits them all, in order', async () => {
        const results = await Promise.all(
          Array.from({ length: 60 }, (_, n) => append(n === 0 ? 'no-stream' : BigInt(n - 1), newEvent({ n }))),
        );
        expect(results.every(isAppended)).toBe(true);
        const events = await store.readStream(stream, 0n, 100);
        expect(events.map(({ data }) => data)).toEqual(Array.from({ length: 60 }, (_, n) => ({ n })));
      });

      it('refuses every later link when one is refused', async () => {
        await append('no-stream', newEvent());
        const results = await Promise.all([append(5n, newEvent()), append(6n, newEvent()), append(7n, newEvent())]);
        expect(results).toEqual(results.map(() => ({ kind: 'wrong-expected-revision', actual: 0n })));
      });

      it('refuses a link though the stream stands where it expects, when what it was decided on did not happen', async () => {
        await append('no-stream', newEvent());
        // Another process appends the revision that the first link was to have.
        const other = harness.open();
        await other.append({ stream, expectedRevision: 0n, events: [newEvent({ by: 'other' })] });
        await other.close();
        const results = await Promise.all([append(0n, newEvent({ link: 1 })), append(1n, newEvent({ link: 2 }))]);
        expect(results).toEqual(results.map(() => ({ kind: 'wrong-expected-revision', actual: 1n })));
        expect((await store.readStream(stream, 0n, 10)).map(({ data }) => data)).toEqual([{}, { by: 'other' }]);
      });

      it('refuses such a link also when it comes while the first one is being refused', async () => {
        await append('no-stream', newEvent());
        const other = harness.open();
        await other.append({ stream, expectedRevision: 0n, events: [newEvent()] });
        await other.close();
        let isTold = false;
        const first = append(0n, newEvent({ link: 1 })).finally(() => (isTold = true));
        // One in each turn of the event loop, up to the one in which who waits for the first is told.
        const links: Promise<AppendResult>[] = [];
        while (!isTold && links.length < 5000) {
          links.push(append(1n, newEvent({ link: 2 })));
          await new Promise(setImmediate);
        }
        expect(await first).toMatchObject({ kind: 'wrong-expected-revision' });
        for (const link of links) expect(await link).toEqual({ kind: 'wrong-expected-revision', actual: 1n });
        expect(await store.readStream(stream, 0n, 10)).toHaveLength(2);
      });

      it('can be taken up again from what is committed after a refusal', async () => {
        await append('no-stream', newEvent());
        await Promise.all([append(3n, newEvent()), append(4n, newEvent())]);
        await new Promise(setImmediate);
        expect(await append(0n, newEvent())).toMatchObject({ kind: 'appended', revision: 1n });
      });

      it('fails the links that build on a command that was answered before', async () => {
        await store.append(keyed('k', 'a'));
        const [again, link] = await Promise.all([
          store.append(keyed('k', 'a', { expectedRevision: 0n })),
          append(1n, newEvent()),
        ]);
        expect(again.kind).toBe('key-used');
        expect(link).toEqual({ kind: 'wrong-expected-revision', actual: 0n });
      });
    });

    describe('idempotency', () => {
      it('keeps the outcome with the events and answers it to whoever comes with the key again', async () => {
        const first = await store.append(keyed('k', 'a'));
        expect(first.kind).toBe('appended');
        const head = await harness.outbox.head();
        const stored = { requestHash: hashOf('a'), outcome: { status: 201, request: 'a' }, position: head };
        expect(await store.append(keyed('k', 'a'))).toEqual({ kind: 'key-used', stored });
        // Another request with the same key: the caller sees it by the hash.
        expect(await store.append(keyed('k', 'b', { stream: `${stream}-other` }))).toEqual({
          kind: 'key-used',
          stored,
        });
        expect(await store.findOutcome(`${stream}/k`)).toEqual(stored);
        expect(await harness.outbox.head()).toBe(head);
      });

      it('keeps a rejection without an event, whatever the stream looks like', async () => {
        const head = await harness.outbox.head();
        const rejection = keyed('k', 'a', { events: [], expectedRevision: 99n });
        expect(await store.append(rejection)).toMatchObject({ kind: 'appended', position: null, revision: null });
        const stored = { requestHash: hashOf('a'), outcome: { status: 201, request: 'a' }, position: null };
        expect(await store.append(rejection)).toEqual({ kind: 'key-used', stored });
        expect(await store.append(keyed('k', 'a'))).toEqual({ kind: 'key-used', stored });
        expect(await harness.outbox.head()).toBe(head);
      });

      it('keeps nothing for an append that is refused', async () => {
        expect(await store.append(keyed('k', 'a', { expectedRevision: 3n }))).toMatchObject({
          kind: 'wrong-expected-revision',
        });
        expect(await store.findOutcome(`${stream}/k`)).toBeUndefined();
        expect(await store.append(keyed('k', 'a'))).toMatchObject({ kind: 'appended' });
      });

      it('appends one event for a hundred clients with one key', async () => {
        const results = await Promise.all(Array.from({ length: 100 }, () => store.append(keyed('k', 'a'))));
        expect(results.filter(isAppended)).toHaveLength(1);
        expect(results.filter(({ kind }) => kind === 'key-used')).toHaveLength(99);
        expect(await store.readStream(stream, 0n, 10)).toHaveLength(1);
      });

      it('answers the members of the outcome in the order they were kept', async () => {
        const outcome = { zebra: 1, a: { c: 1, b: 2 } };
        const request = keyed('k', 'a');
        await store.append({
          ...request,
          idempotency: { key: `${stream}/k`, requestHash: hashOf('a'), outcome },
        });
        const replay = await store.append(request);
        expect(replay.kind === 'key-used' && JSON.stringify(replay.stored.outcome)).toBe(JSON.stringify(outcome));
      });

      it('knows an append again whose acknowledgement was lost, by its events', async () => {
        const events = [newEvent({ n: 0 }), newEvent({ n: 1 })];
        const first = await append('no-stream', ...events);
        await append(1n, newEvent({ n: 2 }));
        expect(await append('no-stream', ...events)).toEqual({ ...first, alreadyThere: true });
        // Part of it, or something else at its place, is not the same append.
        expect(await append('no-stream', newEvent({ n: 0 }), newEvent({ n: 1 }))).toMatchObject({ actual: 2n });
        expect(await append(0n, ...events.slice(0, 1))).toMatchObject({ kind: 'wrong-expected-revision' });
        expect(await store.readStream(stream, 0n, 10)).toHaveLength(3);
      });
    });

    describe('concurrency', () => {
      it('gives 200 concurrent appends contiguous positions', async () => {
        const head = await harness.outbox.head();
        const results = await Promise.all(
          Array.from({ length: 200 }, (_, n) =>
            store.append({ stream: `${stream}-${n}`, expectedRevision: 'no-stream', events: [newEvent({ n })] }),
          ),
        );
        const positions = results.filter(isAppended).map(({ position }) => position);
        expect(new Set(positions)).toEqual(new Set(Array.from({ length: 200 }, (_, n) => head + BigInt(n + 1))));
        for (const event of (await laws()).slice(Number(head))) {
          const { n } = event.data as { n: number };
          expect(event.stream).toBe(`${stream}-${n}`);
          expect(results[n]).toMatchObject({ position: event.position, revision: 0n, recordedAt: event.recordedAt });
        }
      });

      it('keeps the order when several instances append at once, on streams of their own and on one', async () => {
        const stores = [store, harness.open(), harness.open()];
        const own = stores.map(async (instance, index) => {
          for (let n = 0; n < 30; n++) {
            const expectedRevision = n === 0 ? 'no-stream' : BigInt(n - 1);
            const result = await instance.append({
              stream: `${stream}-${index}`,
              expectedRevision,
              events: [newEvent({ n })],
            });
            expect(result.kind).toBe('appended');
          }
        });
        const shared = stores.map(async (instance) => {
          let expectedRevision: ExpectedRevision = 'no-stream';
          let done = 0;
          while (done < 10) {
            const result: AppendResult = await instance.append({ stream, expectedRevision, events: [newEvent()] });
            if (result.kind === 'appended') done += 1;
            if (result.kind === 'appended' && result.revision !== null) expectedRevision = result.revision;
            if (result.kind === 'wrong-expected-revision') expectedRevision = result.actual;
          }
        });
        await Promise.all([...own, ...shared]);
        expect(await store.readStream(stream, 0n, 100)).toHaveLength(30);
        await laws();
        await Promise.all(stores.slice(1).map((instance) => instance.close()));
      });

      it('appends once when two instances race with one key', async () => {
        const other = harness.open();
        const results = await Promise.all(
          Array.from({ length: 20 }, (_, n) => (n % 2 === 0 ? store : other).append(keyed('k', 'a'))),
        );
        expect(results.filter(isAppended)).toHaveLength(1);
        expect(results.filter(({ kind }) => kind === 'key-used')).toHaveLength(19);
        await other.close();
      });
    });

    describe('limits', () => {
      it('says that it is busy when the queue is full, and keeps what it took', async () => {
        const small = harness.open({ maxQueuedAppends: 10, retryAfterSeconds: 3 });
        const attempts = await Promise.allSettled(
          Array.from({ length: 40 }, (_, n) =>
            small.append({ stream: `${stream}-${n}`, expectedRevision: 'no-stream', events: [newEvent()] }),
          ),
        );
        const refused = attempts
          .filter((attempt) => attempt.status === 'rejected')
          .map(({ reason }) => reason as unknown);
        expect(refused).toHaveLength(30);
        for (const error of refused) {
          expect(error).toBeInstanceOf(BusyError);
          expect(error).toMatchObject({ retryable: true, retryAfterSeconds: 3 });
        }
        await small.close();
        const there = await Promise.all(
          attempts.map(async (_, n) => (await store.readStream(`${stream}-${n}`, 0n, 1)).length),
        );
        expect(there).toEqual(attempts.map(({ status }) => (status === 'fulfilled' ? 1 : 0)));
      });

      it('bounds what waits by bytes too', async () => {
        const small = harness.open({ maxQueuedBytes: 10_000 });
        const big = (n: number): Promise<AppendResult> =>
          small.append({
            stream: `${stream}-${n}`,
            expectedRevision: 'no-stream',
            events: [newEvent({ text: 'x'.repeat(4000) })],
          });
        const attempts = await Promise.allSettled([big(0), big(1), big(2)]);
        expect(attempts.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'rejected']);
        await small.close();
      });

      it('takes an event of exactly the limit and refuses one byte more', async () => {
        const fill = (bytes: number): NewEvent => newEvent({ a: 'é'.repeat((bytes - 8) / 2) });
        expect(await append('no-stream', fill(MAX_EVENT_BYTES))).toMatchObject({ kind: 'appended' });
        await expect(append(0n, newEvent({ a: 'x'.repeat(MAX_EVENT_BYTES - 7) }))).rejects.toThrow(EventTooLargeError);
        expect(await store.readStream(stream, 0n, 10)).toHaveLength(1);
      });
    });

    describe('documents', () => {
      it('come back as they went in', async () => {
        const data = {
          text: 'Zoë — ₿ 💸 \u0001 \u2028 "quoted" back\\slash \'; DROP TABLE outbox; --',
          numbers: [0, -1, 1.5, 1e-7, Number.MAX_SAFE_INTEGER, -Number.MAX_SAFE_INTEGER],
          nested: [[], {}, [null, true, false, { '': '' }]],
          amountSats: '2100000000000000',
          __proto__x: { toString: 'a', constructor: 'b' },
        };
        const metadata = { correlationId: 'c', actor: 'ü', idempotencyKey: '"k"' };
        await append('no-stream', { ...newEvent(data), metadata });
        expect((await store.readStream(stream, 0n, 1))[0]).toMatchObject({ data, metadata });
      });

      it('come back as they went in, whatever they are', async () => {
        let revision: ExpectedRevision = 'no-stream';
        await fc.assert(
          fc.asyncProperty(
            fc.jsonValue({
              maxDepth: 5,
              stringUnit: fc.oneof(fc.constantFrom('"', '\\', ',', '{', '\n'), fc.string()),
            }),
            async (value) => {
              const text = JSON.stringify(value);
              // Refused by the next test's rule.
              fc.pre(!text.includes('\\u0000') && !/\\ud[89a-f]/.test(text) && !/[0-9.]{16,}|e\+/.test(text));
              const result: AppendResult = await append(revision, newEvent({ value }));
              expect(result.kind).toBe('appended');
              revision = (result as { revision: bigint }).revision;
              const [event] = await store.readStream(stream, revision, 1);
              expect(event?.data).toEqual({ value: JSON.parse(text) as unknown });
            },
          ),
          { numRuns: 100 },
        );
      });

      it.each([
        ['a NUL character', { a: 'x\0' }],
        ['half of a surrogate pair', { a: '\udc00' }],
        ['a number beyond 2^53', { amountSats: 9_007_199_254_740_993 }],
        ['NaN', { a: NaN }],
        ['a bigint', { a: 1n }],
      ])('are refused with %s, alone, and nothing is appended', async (_, data) => {
        const [bad, good] = await Promise.allSettled([
          append('no-stream', newEvent(data)),
          store.append({ stream: `${stream}-good`, expectedRevision: 'no-stream', events: [newEvent()] }),
        ]);
        expect(bad).toMatchObject({ status: 'rejected', reason: { name: 'NotStorableError' } });
        expect(good).toMatchObject({ status: 'fulfilled', value: { kind: 'appended' } });
        expect(await store.readStream(stream, 0n, 10)).toEqual([]);
      });

      it('are those of the moment of the append, whatever the caller does to them later', async () => {
        const data = { n: 1 };
        const appending = append('no-stream', newEvent(data));
        data.n = 2;
        await appending;
        expect((await store.readStream(stream, 0n, 1))[0]?.data).toEqual({ n: 1 });
      });

      it('that this program could not read back are not written', async () => {
        await expect(append('no-stream', { ...newEvent(), type: 'NeverHeardOf' })).rejects.toThrow(/NeverHeardOf/);
        await expect(append('no-stream', { ...newEvent(), schemaVersion: 2 })).rejects.toThrow(
          /schema version 1, not 2/,
        );
      });
    });

    describe('reading', () => {
      it('pages through a stream', async () => {
        await append('no-stream', ...Array.from({ length: 7 }, (_, n) => newEvent({ n })));
        const read = async (from: bigint, limit: number): Promise<unknown[]> =>
          (await store.readStream(stream, from, limit)).map(({ data }) => (data as { n: number }).n);
        expect(await read(0n, 3)).toEqual([0, 1, 2]);
        expect(await read(3n, 3)).toEqual([3, 4, 5]);
        expect(await read(6n, 3)).toEqual([6]);
        expect(await read(7n, 3)).toEqual([]);
        expect(await store.readStream('account-nobody', 0n, 3)).toEqual([]);
        expect(await store.findOutcome('no such key')).toBeUndefined();
      });

      it('pages through the outbox and finds the place of a time', async () => {
        const first = await append('no-stream', newEvent({ n: 0 }));
        const second = await append(0n, newEvent({ n: 1 }));
        if (!isAppended(first) || !isAppended(second) || first.position === null || second.position === null) {
          throw new Error('both are appended');
        }
        const page = await harness.outbox.read(first.position - 1n, 1);
        expect(page.map(({ data }) => data)).toEqual([{ n: 0 }]);
        expect(await harness.outbox.read(second.position, 10)).toEqual([]);
        expect(await harness.outbox.positionAt(second.recordedAt)).toBe(second.position);
        expect(await harness.outbox.positionAt(new Date(0))).toBe(0n);
        await expect(harness.outbox.read(second.position + 1n, 10)).rejects.toThrow(/ends at/);
      });
    });

    it('finishes what waits when it is closed, and takes nothing more', async () => {
      const closing = harness.open({ maxBatchAppends: 3 });
      const waiting = Array.from({ length: 10 }, (_, n) =>
        closing.append({ stream: `${stream}-${n}`, expectedRevision: 'no-stream', events: [newEvent()] }),
      );
      const closed = closing.close();
      await expect(
        closing.append({ stream: `${stream}-late`, expectedRevision: 'no-stream', events: [newEvent()] }),
      ).rejects.toThrow(/closing/);
      await closed;
      await closing.close();
      expect((await Promise.all(waiting)).every(isAppended)).toBe(true);
      expect(await store.readStream(`${stream}-late`, 0n, 1)).toEqual([]);
      await laws();
    });
  });
}
