import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  accountEvent,
  command,
  createDistributedLedger,
  type DistributedLedger,
} from '../../../test/support/eventstoredb/distributed-store.js';
import type { AppendFault } from '../../../test/support/eventstoredb/faults.js';
import { startStandIn } from '../../../test/support/eventstoredb/stand-in.js';
import { FatalError, RetryableError } from '../../platform/errors.js';
import { MAX_EVENT_BYTES, type EventStore } from '../event-store.js';
import { FENCE_TYPE } from './stored-metadata.js';

const FIRST = { stream: 'account-a', expectedRevision: 'no-stream' } as const;
const STORED = 'tallystick.main.account-a';

describe('an append to EventStoreDB', () => {
  let ledger: DistributedLedger;
  beforeEach(async () => {
    ledger = await createDistributedLedger();
  });
  afterEach(async () => {
    await ledger.close();
    expect(ledger.fatal).toEqual([]);
  });

  const storedTypes = (): string[] => (ledger.server.log.stream(STORED) ?? []).map(({ type }) => type);
  async function outboxKeys(): Promise<unknown[]> {
    return (await ledger.outbox.read(0n, 100)).map(({ data }) => (data as { key?: string }).key);
  }
  async function keyUsed(store: EventStore, key: string, request: string): Promise<unknown> {
    const again = await store.append(command(key, request, { stream: 'account-b', expectedRevision: 'no-stream' }));
    return again.kind === 'key-used' ? again.stored.outcome : again;
  }

  it.each<[string, AppendFault]>([
    ['the connection breaks before it is applied', { kind: 'drop-before' }],
    ['its acknowledgement is lost', { kind: 'drop-after' }],
    ['the server times out, having applied it', { kind: 'timeout', applied: true }],
    ['the server times out, having not applied it', { kind: 'timeout', applied: false }],
    ['the server never answers, having applied it', { kind: 'hang-after' }],
    ['the server never answers, having not applied it', { kind: 'hang-before' }],
    ['it is delivered twice', { kind: 'duplicate' }],
    ['it is slow', { kind: 'slow', ms: 300 }],
  ])('is made once and acknowledged once where %s', async (_, fault) => {
    ledger.relay();
    const store = ledger.store({ storeLimits: { callTimeoutMs: 500 } });
    ledger.server.faults.appends.push(fault);
    expect(await store.append(command('k', 'r', FIRST, 2))).toMatchObject({
      kind: 'appended',
      position: 2n,
      revision: 1n,
      alreadyThere: false,
    });
    expect(storedTypes()).toHaveLength(2);
    expect(await outboxKeys()).toEqual(['k', 'k']);
    expect(await keyUsed(store, 'k', 'r')).toEqual({ status: 201, request: 'r' });
  });

  it('goes to the new leader when the leader has changed', async () => {
    ledger.relay();
    const store = ledger.store();
    await store.append(command('k1', 'r', FIRST));
    const leader = await startStandIn({ log: ledger.server.log });
    ledger.server.follow({ host: '127.0.0.1', port: leader.port });
    expect(await store.append(command('k2', 'r', { ...FIRST, expectedRevision: 0n }))).toMatchObject({ revision: 1n });
    expect(await store.readStream('account-a', 0n, 10)).toHaveLength(2);
    // And back, when that one dies.
    await leader.stop();
    ledger.server.follow(undefined);
    expect(await store.append(command('k3', 'r', { ...FIRST, expectedRevision: 1n }))).toMatchObject({ revision: 2n });
    expect(await outboxKeys()).toEqual(['k1', 'k2', 'k3']);
  });

  it('takes what an event may be at most, and refuses before sending what the server would refuse', async () => {
    ledger.relay();
    const store = ledger.store();
    const fill = (bytes: number): { a: string } => ({ a: 'x'.repeat(bytes - 8) });
    const largest = {
      ...command('k', 'r', FIRST),
      events: [{ ...accountEvent(fill(MAX_EVENT_BYTES)), metadata: { actor: 'x'.repeat(16_000) } }],
      idempotency: { key: 'k', requestHash: 'a'.repeat(64), outcome: { text: 'x'.repeat(60_000) } },
    };
    expect(await store.append(largest)).toMatchObject({ kind: 'appended' });
    const events = [accountEvent(fill(MAX_EVENT_BYTES)), accountEvent(fill(MAX_EVENT_BYTES))];
    await expect(store.append({ ...FIRST, expectedRevision: 0n, events })).rejects.toThrow(FatalError);
    expect(storedTypes()).toHaveLength(1);
  });

  it('is not acknowledged before it is in the outbox; whoever comes back is answered what was answered first', async () => {
    // No relay: the process dies between EventStoreDB and the outbox, as far as its client can tell.
    const dying = ledger.store({ storeLimits: { relayTimeoutMs: 300 } });
    await expect(dying.append(command('k', 'r', FIRST))).rejects.toThrow(RetryableError);
    expect(storedTypes()).toHaveLength(1);
    expect(await ledger.outbox.head()).toBe(0n);
    const relay = ledger.relay();
    await expect.poll(() => relay.status().relayedEvents).toBe(1);
    expect(await keyUsed(ledger.store(), 'k', 'r')).toEqual({ status: 201, request: 'r' });
    expect(storedTypes()).toHaveLength(1);
  });

  it('waits at its start until the relay has caught up: a database from a backup does not know yet which keys were used', async () => {
    const before = ledger.store({ storeLimits: { relayTimeoutMs: 300 } });
    await expect(before.append(command('k', 'r', FIRST))).rejects.toThrow(RetryableError);
    await ledger.database.ownerPool.query('DELETE FROM command_claim');
    const after = ledger.store();
    const retried = after.append(command('k', 'r', { ...FIRST, expectedRevision: 0n }));
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(storedTypes()).toHaveLength(1);
    ledger.relay();
    expect(await retried).toMatchObject({ kind: 'key-used' });
    expect(storedTypes()).toHaveLength(1);
  });

  it.each(['r', 'another request'])(
    'is one for two processes with the same key at once (request: %s)',
    async (request) => {
      ledger.relay();
      const [one, other] = [ledger.store(), ledger.store()];
      ledger.server.faults.appends.push({ kind: 'slow', ms: 300 });
      const results = await Promise.all([
        one.append(command('k', 'r', FIRST)),
        other.append(command('k', request, { ...FIRST, stream: 'account-b' })),
      ]);
      expect(results.map(({ kind }) => kind).sort()).toEqual(['appended', 'key-used']);
      expect(await outboxKeys()).toEqual(['k']);
    },
  );

  it('is one where one process accepts and the other rejects', async () => {
    ledger.relay();
    const [one, other] = [ledger.store(), ledger.store()];
    const kinds: string[] = [];
    for (let n = 0; n < 10; n += 1) {
      const rejection = { ...command(`k${n}`, 'r', FIRST), events: [] };
      const results = await Promise.all([
        one.append(command(`k${n}`, 'r', { ...FIRST, stream: `account-${n}` })),
        other.append(rejection),
      ]);
      expect(results.map(({ kind }) => kind).sort()).toEqual(['appended', 'key-used']);
      const accepted = ledger.server.log.stream(`tallystick.main.account-${n}`) !== undefined;
      const outcome = await one.findOutcome(`k${n}`);
      expect(outcome?.position === null).toBe(!accepted);
      kinds.push(String(accepted));
    }
    expect(kinds).toHaveLength(10);
  });

  describe('that arrives long after everybody gave it up', () => {
    /** A process whose append is still on its way somewhere when its claim has run out. */
    async function giveUp(): Promise<() => Promise<void>> {
      let arrive: () => void = () => undefined;
      const when = new Promise<void>((resolve) => (arrive = resolve));
      // As long a call as the whole append: there is no time for a second one, which would get through.
      const gone = ledger.store({ storeLimits: { callTimeoutMs: 250, appendTimeoutMs: 250, claimTtlMs: 300 } });
      ledger.server.faults.appends.push({ kind: 'apply-late', when });
      await expect(gone.append(command('k', 'r', FIRST))).rejects.toThrow(RetryableError);
      return async () => {
        arrive();
        await new Promise((resolve) => setTimeout(resolve, 200));
      };
    }

    it('changes nothing where the command was rejected meanwhile', async () => {
      ledger.relay();
      const arrive = await giveUp();
      const store = ledger.store();
      expect(await store.append({ ...command('k', 'r', FIRST), events: [] })).toMatchObject({ position: null });
      expect(storedTypes()).toEqual([FENCE_TYPE]);
      await arrive();
      expect(storedTypes()).toEqual([FENCE_TYPE]);
      expect(await ledger.outbox.head()).toBe(0n);
      // The stream goes on as if the fence were not there.
      expect(await store.append(command('k2', 'r', FIRST, 2))).toMatchObject({ kind: 'appended', revision: 1n });
      expect(await store.append(command('k3', 'r', FIRST))).toMatchObject({ actual: 1n });
      expect(await store.append(command('k4', 'r', { ...FIRST, expectedRevision: 1n }))).toMatchObject({
        revision: 2n,
      });
      expect((await store.readStream('account-a', 1n, 10)).map(({ revision }) => revision)).toEqual([1n, 2n]);
      const other = ledger.store();
      expect(await other.append(command('k5', 'r', { ...FIRST, expectedRevision: 2n }))).toMatchObject({
        revision: 3n,
      });
      expect((await ledger.outbox.read(0n, 10)).map(({ revision }) => revision)).toEqual([0n, 1n, 2n, 3n]);
    });

    it('changes nothing where the key was used on another stream meanwhile', async () => {
      ledger.relay();
      const arrive = await giveUp();
      const elsewhere = command('k', 'another', { stream: 'account-b', expectedRevision: 'no-stream' });
      expect(await ledger.store().append(elsewhere)).toMatchObject({ kind: 'appended' });
      await arrive();
      expect(storedTypes()).toEqual([FENCE_TYPE]);
      expect(await outboxKeys()).toEqual(['k']);
    });

    it('is the same as the one that was made in its place meanwhile', async () => {
      ledger.relay();
      const arrive = await giveUp();
      expect(await ledger.store().append(command('k', 'r', FIRST))).toMatchObject({ kind: 'appended' });
      await arrive();
      expect(storedTypes()).toEqual(['AccountOpened']);
      expect(await outboxKeys()).toEqual(['k']);
    });

    it('is found where it had arrived before the next try, on whatever stream that is', async () => {
      ledger.relay();
      const arrive = await giveUp();
      await arrive();
      expect(await keyUsed(ledger.store(), 'k', 'r')).toEqual({ status: 201, request: 'r' });
      expect(await outboxKeys()).toEqual(['k']);
    });

    it('loses against who appended there meanwhile, and its command is decided anew', async () => {
      ledger.relay();
      const arrive = await giveUp();
      const store = ledger.store();
      expect(await store.append(command('k2', 'r', FIRST))).toMatchObject({ kind: 'appended' });
      expect(await store.append(command('k', 'r', { ...FIRST, expectedRevision: 0n }))).toMatchObject({ revision: 1n });
      await arrive();
      expect(await outboxKeys()).toEqual(['k2', 'k']);
      expect(storedTypes()).toHaveLength(2);
    });
  });

  it('leaves a key alone that another process is at, until that one has been silent for its time', async () => {
    ledger.relay();
    const slow = ledger.store({ storeLimits: { claimTtlMs: 1500 } });
    ledger.server.faults.appends.push({ kind: 'hang-before' });
    const first = slow.append(command('k', 'r', FIRST));
    await expect.poll(async () => (await ledger.database.pool.query('SELECT FROM command_claim')).rowCount).toBe(1);
    const asked = performance.now();
    const second = await ledger.store().append(command('k', 'r', FIRST));
    expect(performance.now() - asked).toBeGreaterThan(1000);
    expect([(await first).kind, second.kind]).toContain('appended');
    expect(await outboxKeys()).toEqual(['k']);
  });

  it('is gone on with where others stand behind it while it waits for its key, and nobody else comes', async () => {
    ledger.relay();
    const gone = ledger.store({ storeLimits: { claimTtlMs: 2000, callTimeoutMs: 500, appendTimeoutMs: 500 } });
    ledger.server.faults.appends.push({ kind: 'hang-before' });
    await expect(gone.append(command('k', 'r', FIRST))).rejects.toThrow(RetryableError);
    const place = { stream: 'account-b', expectedRevision: 'no-stream' } as const;
    const store = ledger.store();
    // The second one waits for the place of the first, which waits for the claim to run out.
    const answers = [store.append(command('k', 'r', place)), store.append(command('k2', 'r', place))];
    expect(await Promise.all(answers)).toMatchObject([{ kind: 'appended' }, { kind: 'wrong-expected-revision' }]);
  });

  it('with the events of another command at its place is told so, and keeps no outcome of its own', async () => {
    ledger.relay();
    const store = ledger.store();
    const shared = [accountEvent({ shared: true })];
    await store.append({ ...command('k1', 'r', FIRST), events: shared });
    expect(await store.append({ ...command('k2', 'r', FIRST), events: shared })).toMatchObject({
      kind: 'appended',
      position: 1n,
      alreadyThere: true,
    });
    expect(await store.findOutcome('k2')).toBeUndefined();
    expect((await ledger.database.pool.query('SELECT FROM command_claim')).rowCount).toBe(0);
  });
});
