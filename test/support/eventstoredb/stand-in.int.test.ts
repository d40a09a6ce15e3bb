import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  BACKWARDS,
  END,
  EventStoreDBClient,
  FORWARDS,
  jsonEvent,
  NotLeaderError,
  NO_STREAM,
  START,
  StreamNotFoundError,
  streamNameFilter,
  WrongExpectedVersionError,
  type AllStreamResolvedEvent,
  type JSONEventData,
} from '@eventstore/db-client';
import { afterEach, describe, expect, it } from 'vitest';
import { startStandIn, type StandIn } from './stand-in.js';

/** What the documentation and the source of the real server say, asked of the stand-in by the unmodified client. */
describe('the stand-in for EventStoreDB, to the client of EventStoreDB', () => {
  const opened: (() => Promise<unknown>)[] = [];
  afterEach(async () => {
    for (const close of opened.splice(0).reverse()) await close();
  });

  async function start(
    options: Parameters<typeof startStandIn>[0] = {},
  ): Promise<{ server: StandIn; client: EventStoreDBClient }> {
    const server = await startStandIn(options);
    opened.push(() => server.stop());
    return { server, client: connect(server.url) };
  }

  function connect(url: string): EventStoreDBClient {
    const client = EventStoreDBClient.connectionString(url);
    opened.push(() => client.dispose());
    return client;
  }

  /** Credentials make the client use `Append` instead of `BatchAppend`. */
  const UNARY = { credentials: { username: 'nobody', password: '' } };
  const event = (n: number, id: string = randomUUID()): JSONEventData =>
    jsonEvent({ id, type: 'Counted', data: { n } });

  async function collect<T>(source: AsyncIterable<T>): Promise<T[]> {
    const all: T[] = [];
    for await (const item of source) all.push(item);
    return all;
  }

  describe.each([
    ['Append', UNARY],
    ['BatchAppend', {}],
  ])('%s', (_, how) => {
    it('counts revisions from 0 and refuses a wrong expected one, saying which is right', async () => {
      const { client } = await start();
      const first = await client.appendToStream('s', [event(0), event(1)], { ...how, expectedRevision: NO_STREAM });
      expect(first).toMatchObject({ success: true, nextExpectedRevision: 1n });
      const refused = client.appendToStream('s', event(2), { ...how, expectedRevision: 5n });
      await expect(refused).rejects.toThrow(WrongExpectedVersionError);
      await expect(refused).rejects.toMatchObject({ actualVersion: 1n });
      await expect(client.appendToStream('t', event(2), { ...how, expectedRevision: 0n })).rejects.toMatchObject({
        actualVersion: 'no_stream',
      });
    });

    it('takes the same ids at the same place as the same append, and part of them as a wrong version', async () => {
      const { client, server } = await start();
      const events = [event(0), event(1)];
      const options = { ...how, expectedRevision: NO_STREAM } as const;
      await client.appendToStream('s', events, options);
      await client.appendToStream('s', event(2), { ...how, expectedRevision: 1n });
      expect(await client.appendToStream('s', events, options)).toMatchObject({
        success: true,
        nextExpectedRevision: 1n,
      });
      await expect(client.appendToStream('s', [...events.slice(0, 1), event(9)], options)).rejects.toThrow(
        WrongExpectedVersionError,
      );
      expect(server.log.stream('s')).toHaveLength(3);
    });

    it('refuses an append above 1 MiB', async () => {
      const { client, server } = await start();
      const large = jsonEvent({ type: 'Large', data: { text: 'x'.repeat(1024 * 1024) } });
      await expect(client.appendToStream('s', large, how)).rejects.toMatchObject({
        type: 'maximum-append-size-exceeded',
      });
      expect(server.log.stream('s')).toBeUndefined();
    });
  });

  it('reads a stream both ways, and says in a message of its own that there is none', async () => {
    const { client } = await start();
    await client.appendToStream('s', [event(0), event(1), event(2)]);
    const read = async (options: Parameters<EventStoreDBClient['readStream']>[1]): Promise<unknown[]> =>
      (await collect(client.readStream<JSONEventData>('s', options))).map((resolved) => resolved.event?.data);
    expect(await read({ direction: FORWARDS, fromRevision: 1n, maxCount: 10 })).toEqual([{ n: 1 }, { n: 2 }]);
    expect(await read({ direction: BACKWARDS, fromRevision: END, maxCount: 2 })).toEqual([{ n: 2 }, { n: 1 }]);
    expect(await read({ direction: FORWARDS, fromRevision: 3n, maxCount: 10 })).toEqual([]);
    await expect(collect(client.readStream('nobody'))).rejects.toThrow(StreamNotFoundError);
  });

  it('has system events in $all, positions that skip, one commit position for the events of one append', async () => {
    const { client } = await start();
    for (let n = 0; n < 12; n += 1) await client.appendToStream(`s-${n}`, [event(n), event(n)]);
    const all = await collect(client.readAll({ maxCount: 1000 }));
    const events = all.map(({ event: recorded }) => recorded).filter((recorded) => recorded !== undefined);
    expect(events.some(({ streamId }) => streamId.startsWith('$'))).toBe(true);
    const pair = events.filter(({ streamId }) => streamId === 's-3').map(({ position }) => position);
    expect(pair[0]?.commit).toBe(pair[1]?.commit);
    expect(pair[0]?.prepare).not.toBe(pair[1]?.prepare);
    const last = events.at(-1)?.position;
    const middle = events[5]?.position;
    if (!last || !middle) throw new Error('positions are there');
    // Forwards from an event begins with it, backwards before it.
    expect((await collect(client.readAll({ fromPosition: middle, maxCount: 1 })))[0]?.event?.id).toBe(events[5]?.id);
    expect(
      (await collect(client.readAll({ direction: BACKWARDS, fromPosition: middle, maxCount: 1 })))[0]?.event?.id,
    ).toBe(events[4]?.id);
    expect(
      (await collect(client.readAll({ direction: BACKWARDS, fromPosition: END, maxCount: 1 })))[0]?.event?.id,
    ).toBe(events.at(-1)?.id);
  });

  it('subscribes by prefix, after a position, with checkpoints, and says when it has caught up', async () => {
    const { client } = await start();
    for (let n = 0; n < 100; n += 1) await client.appendToStream(n % 2 === 0 ? 'ours.s' : 'theirs.s', event(n));
    const seen: AllStreamResolvedEvent[] = [];
    let checkpoints = 0;
    let isCaughtUp = false;
    const follow = (fromPosition: typeof START | { commit: bigint; prepare: bigint }, count: number): Promise<void> =>
      new Promise((resolve, reject) => {
        const subscription = client.subscribeToAll({
          fromPosition,
          filter: streamNameFilter({
            prefixes: ['ours.'],
            checkpointReached: () => {
              checkpoints += 1;
            },
          }),
        });
        subscription.on('caughtUp', () => (isCaughtUp = true));
        subscription.on('error', reject);
        subscription.on('data', (resolved: AllStreamResolvedEvent) => {
          seen.push(resolved);
          if (seen.length === count) void subscription.unsubscribe().then(resolve);
        });
      });
    const following = follow(START, 51);
    await expect.poll(() => isCaughtUp).toBe(true);
    expect(checkpoints).toBeGreaterThan(0);
    await client.appendToStream('theirs.s', event(100));
    await client.appendToStream('ours.s', event(101));
    await following;
    expect(new Set(seen.map((resolved) => resolved.event?.streamId))).toEqual(new Set(['ours.s']));
    const from = seen[9]?.event?.position;
    if (!from) throw new Error('an event of $all has a position');
    const tenth = seen.slice(10).map((resolved) => resolved.event?.id);
    seen.length = 0;
    await follow(from, 41);
    expect(seen.map((resolved) => resolved.event?.id)).toEqual(tenth);
  });

  it('keeps its log in a file over a restart', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'stand-in-'));
    opened.push(() => Promise.resolve(rmSync(folder, { recursive: true })));
    const file = join(folder, 'log');
    const { client, server } = await start({ file });
    await client.appendToStream('s', [event(0), event(1)], UNARY);
    const text = (log: StandIn['log']): string[] =>
      log.all.map(
        (stored) =>
          `${stored.stream} ${stored.revision} ${stored.commit} ${stored.prepare} ${stored.id} ${Buffer.from(stored.data).toString()}`,
      );
    const before = text(server.log);
    await server.stop();
    const { client: again, server: next } = await start({ file, port: server.port });
    expect(text(next.log)).toEqual(before);
    // The client waits a moment before it connects to an address that has just refused it.
    await expect
      .poll(() => again.appendToStream('s', event(2), { expectedRevision: 1n }).catch(() => undefined), {
        timeout: 10_000,
      })
      .toMatchObject({ success: true });
  });

  it('sends who needs the leader to the leader, and names it in its gossip', async () => {
    const { client, server } = await start();
    const leader = await startStandIn({ log: server.log });
    opened.push(() => leader.stop());
    server.follow({ host: '127.0.0.1', port: leader.port });
    await expect(client.appendToStream('s', event(0), UNARY)).rejects.toThrow(NotLeaderError);
    // The client goes there by itself the next time.
    expect(await client.appendToStream('s', event(0), UNARY)).toMatchObject({ success: true });
    const discovering = connect(server.discoverUrl);
    expect(await discovering.appendToStream('t', event(0), UNARY)).toMatchObject({ success: true });
  });

  it('loses answers, connections and time when it is told to', async () => {
    const { client, server } = await start();
    const short = { ...UNARY, deadline: 300, expectedRevision: NO_STREAM } as const;
    const attempt = (stream: string): Promise<unknown> => client.appendToStream(stream, event(0), short);
    server.faults.appends.push({ kind: 'drop-before' });
    await expect(attempt('drop-before')).rejects.toMatchObject({ type: 'unavailable' });
    server.faults.appends.push({ kind: 'drop-after' });
    await expect(attempt('drop-after')).rejects.toMatchObject({ type: 'unavailable' });
    server.faults.appends.push({ kind: 'hang-before' });
    await expect(attempt('hang-before')).rejects.toMatchObject({ type: 'deadline-exceeded' });
    server.faults.appends.push({ kind: 'hang-after' });
    await expect(attempt('hang-after')).rejects.toMatchObject({ type: 'deadline-exceeded' });
    server.faults.appends.push({ kind: 'timeout', applied: true });
    await expect(attempt('timeout')).rejects.toMatchObject({ type: 'timeout' });
    server.faults.appends.push({ kind: 'duplicate' });
    expect(await attempt('duplicate')).toMatchObject({ success: true });
    expect(
      ['drop-before', 'drop-after', 'hang-before', 'hang-after', 'timeout', 'duplicate'].map(
        (stream) => server.log.stream(stream)?.length ?? 0,
      ),
    ).toEqual([0, 1, 0, 1, 1, 1]);
  });
});
