import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createLocalKeys } from '../bitcoin/keys/local-keys.js';
import { createCommandParts, type CommandPartsOptions } from '../command/command-parts.js';
import { createLedgerCommands } from '../command/ledger-commands.js';
import { createPostgresCommandLog } from '../command/postgres-command-log.js';
import { createPostgresEventStore } from '../eventstore/postgres-event-store.js';
import { createPostgresFeed } from '../outbox/postgres-feed.js';
import { createPostgresOutbox } from '../outbox/postgres-outbox.js';
import type { Config } from '../platform/config.js';
import { FatalError } from '../platform/errors.js';
import type { Logger } from '../platform/logger.js';
import { createMetrics } from '../platform/metrics.js';
import { createPool } from '../platform/postgres/pool.js';
import { ALL_PROJECTIONS } from '../projections/all-projections.js';
import { rebuildProjections } from '../projections/rebuild/rebuild-projections.js';
import { createProjectionRunner } from '../projections/runner/projection-runner.js';
import { createPayoutWork } from '../projections/read/payout-work.js';
import { createReadModels } from '../query/read-models.js';
import type { Workflow } from '../workflow/workflow.js';
import { createManualSigning } from '../workflow/payout-signing.js';
import { createChainEvidence } from './chain-evidence.js';
import { createClosers } from './closers.js';
import { createCommandReads } from './command-reads.js';
import { createDevChain } from './dev-chain.js';
import { createApi } from './http-app.js';
import { createHealthChecks } from './health-checks.js';
import { observeLedger } from './observe-ledger.js';
import { observePayments } from './observe-payments.js';
import { readPaymentsSummary } from '../query/payments-summary.js';
import { openDatabase } from './open-database.js';
import { openChainSide } from './open-chain-side.js';
import { openPaymentNode, openSigners, openWorkflow } from './open-workflow.js';

/** Connections for commands and reads. */
const APP_CONNECTIONS = 16;
/** No statement of a command or a read takes this long: one that does must not hold its connection. */
const STATEMENT_TIMEOUT_MS = 10_000;
/** One leads the read models, one listens, some read the log and rebuild. */
const ENGINE_CONNECTIONS = 12;
/** A start waits so long for the read models; after that it serves, and every answer says how far they are. */
const CATCH_UP_TIMEOUT_MS = 10_000;

export interface RunningLedger {
  /** `http://host:port` */
  url: string;
  /** Stops taking requests, finishes what was begun, closes everything. */
  close(): Promise<void>;
}

export interface OpenLedgerOptions {
  logger: Logger;
  /** A broken invariant or another bug: the process must end. */
  onFatal: (error: unknown) => void;
}

/** Puts one ledger together in this process: database, log, read models, chain, API. */
export async function openLedger(config: Config, options: OpenLedgerOptions): Promise<RunningLedger> {
  const { logger, onFatal } = options;
  const { ledger, network } = config;
  const closers = createClosers(logger);
  let isClosing = false;
  const close = (): Promise<void> => {
    isClosing = true;
    return closers.closeAll();
  };
  try {
    const database = await openDatabase(config, 'own', logger, onFatal);
    closers.add('database', () => database.close());
    const onError = (error: Error): void => {
      if (!isClosing) logger.warn({ err: error }, 'a database connection was lost');
    };
    const pool = createPool(database.url, {
      max: APP_CONNECTIONS,
      role: database.role,
      applicationName: 'tallystick-app',
      settings: { statement_timeout: String(STATEMENT_TIMEOUT_MS), jit: 'off' },
      onError,
    });
    closers.add('pool', () => pool.end());
    const enginePool = createPool(database.url, {
      max: ENGINE_CONNECTIONS,
      role: database.role,
      applicationName: 'tallystick-engine',
      onError,
    });
    closers.add('engine pool', () => enginePool.end());

    const outbox = createPostgresOutbox({ pool, ledger });
    const feed = createPostgresFeed({ pool: enginePool, ledger, onError });
    closers.add('feed', () => feed.close());
    const store = createPostgresEventStore({
      pool,
      ledger,
      onCommitted: (batch) => {
        feed.committed(batch);
      },
    });
    closers.add('event store', () => store.close());

    const runner = createProjectionRunner({
      pool: enginePool,
      ledger,
      feed,
      projections: ALL_PROJECTIONS,
      rebuild: (names, signal) =>
        rebuildProjections({ pool: enginePool, ledger, projections: ALL_PROJECTIONS, names, signal }),
      onHalt: (halt) => {
        logger.error({ ...halt, haltedAt: halt.haltedAt.toString() }, 'a projection has halted');
      },
      onNotice: (message, error) => {
        logger.warn({ err: error }, message);
      },
      onFatal,
    });
    await runner.start();
    closers.add('read models', () => runner.stop());

    const chain = await openChainSide({ config, store, outbox, pool, onFatal, closers });
    await runner.waitFor(await outbox.head(), undefined, CATCH_UP_TIMEOUT_MS);

    const node = openPaymentNode(config, chain);
    closers.add('node for payments', () => node.close());
    const work = createPayoutWork({ database: pool, ledger, progress: runner });
    const keys = createLocalKeys({ directory: join(config.dataDir, 'keys'), network, randomBytes });
    const commandOptions: CommandPartsOptions = {
      ledger,
      network,
      store,
      reads: createCommandReads(pool, ledger, runner),
      log: createPostgresCommandLog({ pool, outbox }),
      keys,
      sleep: (ms) => sleep(ms),
      rules: {
        maxSats: config.withdrawalMaxSats,
        defaultWalletId: config.defaultWalletId,
        maxFeeRateSatsPerVbyte: Number(config.maxFeeRateSatsPerKvb) / 1_000,
      },
      signing: createManualSigning({ network, node, walletOf: (walletId) => work.wallet(walletId) }),
      evidence: createChainEvidence({ pool, ledger, blocks: (hashes) => chain.source.blocks(hashes) }),
    };
    const parts = createCommandParts(commandOptions);

    const paying: { workflow?: Workflow } = {};
    const metrics = createMetrics();
    const observed = observeLedger(metrics, { follower: chain.follower, runner, outbox });
    const { overdueMinutes } = config;
    const payments = observePayments(metrics, () => readPaymentsSummary({ pool, ledger, overdueMinutes }), Date.now);
    const api = await createApi({
      config,
      logger,
      onFatal,
      scrape: async () => {
        await Promise.all([observed.refresh(), payments.refresh()]);
        return { contentType: metrics.registry.contentType, text: await metrics.registry.metrics() };
      },
      commands: {
        ...commandOptions,
        parts,
        pushedBlocks: chain.pushedBlocks,
        devChain:
          chain.regtest && createDevChain({ chain: chain.regtest, follower: chain.follower, progress: runner, logger }),
      },
      query: {
        pool,
        ledger,
        outbox,
        readModels: createReadModels({
          progress: runner,
          status: () => runner.status(),
          isToldHere: () => runner.isLeader(),
        }),
        health: createHealthChecks({
          pool,
          ledger,
          outbox,
          runner,
          follower: chain.follower,
          payments: () => paying.workflow?.status(),
        }),
        overdueMinutes,
      },
    });
    // Requests end before what works for them.
    paying.workflow = openWorkflow({
      config,
      pool: enginePool,
      commands: createLedgerCommands(parts),
      work,
      node,
      signers: openSigners(config, keys),
      outbox,
      feed,
      metrics,
      logger,
      onFatal,
      closers,
    });
    closers.add('HTTP', () => api.close());
    await listening(config, api.listen(config.port, config.host));
    return { url: await api.getUrl(), close };
  } catch (error) {
    await close().catch(() => undefined);
    throw error;
  }
}

/** What a person can mend is one line that names it. */
async function listening({ host, port }: Config, attempt: Promise<unknown>): Promise<void> {
  try {
    await attempt;
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? cause.code : undefined;
    const what = {
      EADDRINUSE: `PORT: ${host}:${port} is in use by another program: stop it, or choose another port`,
      EACCES: `PORT: this user may not listen on ${host}:${port}`,
      EADDRNOTAVAIL: `HOST: ${host} is not an address of this machine`,
      ENOTFOUND: `HOST: ${host} is not an address of this machine`,
    }[String(code)];
    throw what === undefined ? cause : new FatalError(what, {}, { cause });
  }
}
