import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLocalKeys } from '../../src/bitcoin/keys/local-keys.js';
import type { NetworkName } from '../../src/bitcoin/network.js';
import { createCommandReads } from '../../src/app/command-reads.js';
import { CommandModule } from '../../src/command/command.module.js';
import { createPostgresCommandLog } from '../../src/command/postgres-command-log.js';
import type { PushedBlocks } from '../../src/bitcoin/push/pushed-blocks.js';
import type { CommandPartsOptions } from '../../src/command/command-parts.js';
import type { ChainEvidence, CommandReads, DevChain, PayoutSigning } from '../../src/command/ports.js';
import { deterministicUuid } from '../../src/domain/event-id.js';
import { newEvents } from '../../src/domain/new-event.js';
import type { DomainEvent } from '../../src/domain/events/event-types.js';
import type { EventStore } from '../../src/eventstore/event-store.js';
import { createPostgresEventStore } from '../../src/eventstore/postgres-event-store.js';
import { createPostgresFeed } from '../../src/outbox/postgres-feed.js';
import { createPostgresOutbox } from '../../src/outbox/postgres-outbox.js';
import type { Outbox } from '../../src/outbox/outbox.js';
import type { InvariantError } from '../../src/platform/assert.js';
import { createAuthenticate } from '../../src/platform/http/api-keys.js';
import { createHttpApp } from '../../src/platform/http/create-http-app.js';
import { createLogger } from '../../src/platform/logger.js';
import { ALL_PROJECTIONS } from '../../src/projections/all-projections.js';
import { rebuildProjections } from '../../src/projections/rebuild/rebuild-projections.js';
import { createProjectionRunner } from '../../src/projections/runner/projection-runner.js';
import type { TestDatabase } from './database.js';

export interface CommandServerOptions {
  database: Pick<TestDatabase, 'pool'>;
  network?: NetworkName;
  ledger?: string;
  apiKeys?: readonly string[];
  publicPaths?: readonly string[];
  pushedBlocks?: PushedBlocks;
  devChain?: DevChain;
  /** Changes what commands read, or the store that they write to. */
  wrapReads?: (reads: CommandReads) => CommandReads;
  wrapStore?: (store: EventStore) => EventStore;
  keysDirectory?: string;
  rules?: CommandPartsOptions['rules'];
  signing?: PayoutSigning;
  evidence?: ChainEvidence;
  onInvariantBroken?: (error: InvariantError) => void;
}

export interface CommandServer {
  url: string;
  database: Pick<TestDatabase, 'pool'>;
  store: EventStore;
  outbox: Outbox;
  keysDirectory: string;
  app: Awaited<ReturnType<typeof createHttpApp>>;
  close(): Promise<void>;
}

/** The command side over HTTP on a free port of the loopback, on a real store with real read models. */
export async function startCommandServer(options: CommandServerOptions): Promise<CommandServer> {
  const { database, ledger = 'main', network = 'regtest' } = options;
  const { pool } = database;
  const feed = createPostgresFeed({ pool, ledger });
  const postgresStore = createPostgresEventStore({
    pool,
    ledger,
    onCommitted: (batch) => {
      feed.committed(batch);
    },
  });
  const store = options.wrapStore?.(postgresStore) ?? postgresStore;
  const outbox = createPostgresOutbox({ pool, ledger });
  const runner = createProjectionRunner({
    pool,
    ledger,
    feed,
    projections: ALL_PROJECTIONS,
    rebuild: (names) => rebuildProjections({ pool, ledger, projections: ALL_PROJECTIONS, names }),
  });
  await runner.start();
  const reads = createCommandReads(pool, ledger, runner);
  const keysDirectory = options.keysDirectory ?? mkdtempSync(join(tmpdir(), 'tallystick-keys-'));
  const module = CommandModule.register({
    ledger,
    network,
    store,
    reads: options.wrapReads?.(reads) ?? reads,
    log: createPostgresCommandLog({ pool, outbox }),
    keys: createLocalKeys({ directory: join(keysDirectory, 'keys'), network, randomBytes }),
    sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
    ...(options.rules === undefined ? {} : { rules: options.rules }),
    signing: options.signing,
    evidence: options.evidence,
    pushedBlocks: options.pushedBlocks,
    devChain: options.devChain,
  });
  const app = await createHttpApp(module, {
    authenticate: createAuthenticate(options.apiKeys),
    trustProxy: false,
    publicPaths: options.publicPaths ?? [],
    logger: createLogger('silent'),
    onInvariantBroken:
      options.onInvariantBroken ??
      ((error) => {
        throw error;
      }),
  });
  await app.listen(0, '127.0.0.1');
  return {
    url: await app.getUrl(),
    database,
    store,
    outbox,
    keysDirectory,
    app,
    close: async () => {
      await app.close();
      await store.close();
      await runner.stop();
      await feed.close();
      if (options.keysDirectory === undefined) rmSync(keysDirectory, { recursive: true, force: true });
    },
  };
}

/** Gives accounts money: one connected block of deposits per call, written straight to the chain's stream. */
export async function deposit(
  store: EventStore,
  ledger: string,
  amounts: Readonly<Record<string, bigint>>,
): Promise<bigint> {
  const network = 'regtest';
  const stream = `chain-${network}`;
  const before = await store.readStream(stream, 0n, 10_000);
  const height = before.filter(({ type }) => type === 'BlockConnected').length + 1;
  const hashAt = (at: number): string => at.toString(16).padStart(64, '0');
  const received = Object.entries(amounts).map(([accountId, amountSats], vout) => ({
    txid: hashAt(1_000_000 + height),
    vout,
    amountSats: amountSats.toString(),
    script: '51',
    address: null,
    walletId: 'deposits',
    accountId,
    coinbase: false,
    derivation: null,
    payoutId: null,
  }));
  const opening: DomainEvent[] = [
    {
      type: 'ChainOpened',
      data: { network, hash: hashAt(0), height: 0, prevHash: null, time: null, bits: null },
    },
    { type: 'DepositPolicySet', data: { network, depositConfirmations: 1, coinbaseMaturity: 100 } },
  ];
  const block: DomainEvent = {
    type: 'BlockConnected',
    data: {
      network,
      hash: hashAt(height),
      height,
      prevHash: hashAt(height - 1),
      time: 1_600_000_000 + height,
      bits: 0x207fffff,
      size: 1_000,
      transactionCount: 2,
      parts: 0,
      found: { received, spent: [], funding: [], conflicts: [] },
    },
  };
  const events = before.length === 0 ? [...opening, block] : [block];
  const result = await store.append({
    stream,
    expectedRevision: before.length === 0 ? 'no-stream' : BigInt(before.length - 1),
    events: newEvents(events, { ledger, key: deterministicUuid('deposit', height), metadata: {} }),
  });
  if (result.kind !== 'appended' || result.position === null)
    throw new Error(`deposit was not appended: ${result.kind}`);
  return result.position;
}
