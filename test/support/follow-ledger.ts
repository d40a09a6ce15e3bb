import { randomUUID } from 'node:crypto';
import type { BlockSource } from '../../src/bitcoin/block-source.js';
import { createFollower, type Follower, type FollowerDeps } from '../../src/bitcoin/follow/follower.js';
import type { BlockConnected, Found, TransfersFound } from '../../src/domain/events/chain-events.js';
import { EVENT_TYPES, type DomainEvent } from '../../src/domain/events/event-types.js';
import type { EventStore, ExpectedRevision, RecordedEvent } from '../../src/eventstore/event-store.js';
import { createPostgresEventStore } from '../../src/eventstore/postgres-event-store.js';
import type { Outbox } from '../../src/outbox/outbox.js';
import { createPostgresOutbox } from '../../src/outbox/postgres-outbox.js';
import type { TestDatabase } from './database.js';

/** A ledger in a test database, followers on it, and a client that appends what commands would. */
export interface FollowLedger {
  ledger: string;
  store: EventStore;
  outbox: Outbox;
  /** Not started. */
  follower(source: BlockSource, overrides?: Partial<FollowerDeps>): Follower;
  /** Started, synced, stopped. */
  followToTip(source: BlockSource, overrides?: Partial<FollowerDeps>): Promise<Follower>;
  append(stream: string, ...events: DomainEvent[]): Promise<void>;
  createWallet(
    walletId: string,
    options?: { descriptor?: string; changeDescriptor?: string; gapLimit?: number },
  ): Promise<void>;
  watchScript(walletId: string, script: Uint8Array, accountId?: string | null): Promise<void>;
  log(): Promise<RecordedEvent[]>;
  /** The chain's stream without what differs from run to run, parts joined. */
  chainStory(): Promise<ChainStep[]>;
  /** Errors that would have ended the process. */
  fatal: unknown[];
}

export type ChainStep =
  | { step: 'connected'; hash: string; height: number; found: Found }
  | { step: 'disconnected'; hash: string; height: number }
  | { step: 'opened' | 'policy' };

const PAGE = 1_000;

export function createFollowLedger(db: TestDatabase, ledger: string): FollowLedger {
  const store = createPostgresEventStore({ pool: db.pool, ledger });
  const outbox = createPostgresOutbox({ pool: db.pool, ledger });
  const fatal: unknown[] = [];
  const revisions = new Map<string, ExpectedRevision>();
  const self: FollowLedger = {
    ledger,
    store,
    outbox,
    fatal,
    follower: (source, overrides = {}) =>
      createFollower({
        ledger,
        network: 'regtest',
        store,
        outbox,
        source,
        startBlock: undefined,
        depositConfirmations: 1,
        finalityDepth: 144,
        now: () => Date.now(),
        random: () => 0.5,
        onFatal: (error) => fatal.push(error),
        ...overrides,
      }),
    async followToTip(source, overrides) {
      const follower = self.follower(source, overrides);
      await follower.start();
      try {
        await follower.syncNow();
      } finally {
        await follower.stop();
      }
      if (fatal.length > 0) throw fatal[0];
      return follower;
    },
    async append(stream, ...events) {
      const result = await store.append({
        stream,
        expectedRevision: revisions.get(stream) ?? 'no-stream',
        events: events.map(({ type, data }) => ({
          id: randomUUID(),
          type,
          schemaVersion: EVENT_TYPES[type].schemaVersion,
          data: EVENT_TYPES[type].schema.parse(data),
          metadata: {},
        })),
      });
      if (result.kind !== 'appended' || result.revision === null) throw new Error(`append: ${result.kind}`);
      revisions.set(stream, result.revision);
    },
    createWallet: (walletId, { descriptor, changeDescriptor, gapLimit = 20 } = {}) =>
      self.append(`wallet-${walletId}`, {
        type: 'WalletCreated',
        data: {
          walletId,
          network: 'regtest',
          descriptor: descriptor ?? null,
          changeDescriptor: changeDescriptor ?? null,
          gapLimit,
          signer: 'none',
        },
      }),
    watchScript: (walletId, script, accountId = null) =>
      self.append(`wallet-${walletId}`, {
        type: 'ScriptWatched',
        data: { walletId, accountId, script: Buffer.from(script).toString('hex'), address: null },
      }),
    async log() {
      const events: RecordedEvent[] = [];
      for (;;) {
        const page = await outbox.read(BigInt(events.length), PAGE);
        if (page.length === 0) return events;
        events.push(...page);
      }
    },
    chainStory: async () => storyOf(await self.log()),
  };
  return self;
}

function storyOf(log: readonly RecordedEvent[]): ChainStep[] {
  const chain = log.filter(({ stream }) => stream.startsWith('chain-'));
  const steps: ChainStep[] = [];
  chain.forEach(({ type, data }, i) => {
    if (type === 'BlockConnected') {
      const { hash, height, parts, found } = data as BlockConnected;
      const before = chain.slice(i - parts, i).map((part) => (part.data as TransfersFound).found);
      const all = [...before, found];
      steps.push({
        step: 'connected',
        hash,
        height,
        found: {
          received: all.flatMap((part) => part.received),
          spent: all.flatMap((part) => part.spent),
          funding: all.flatMap((part) => part.funding),
          conflicts: all.flatMap((part) => part.conflicts),
        },
      });
    } else if (type === 'BlockDisconnected') {
      const { hash, height } = data as { hash: string; height: number };
      steps.push({ step: 'disconnected', hash, height });
    } else if (type === 'ChainOpened') steps.push({ step: 'opened' });
    else if (type === 'DepositPolicySet') steps.push({ step: 'policy' });
  });
  return steps;
}
