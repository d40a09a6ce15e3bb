import { createPostgresFeed } from '../../src/outbox/postgres-feed.js';
import { createPostgresOutbox } from '../../src/outbox/postgres-outbox.js';
import type { Outbox } from '../../src/outbox/outbox.js';
import { createAuthenticate } from '../../src/platform/http/api-keys.js';
import { createHttpApp } from '../../src/platform/http/create-http-app.js';
import { createLogger } from '../../src/platform/logger.js';
import { ALL_PROJECTIONS } from '../../src/projections/all-projections.js';
import { rebuildProjections } from '../../src/projections/rebuild/rebuild-projections.js';
import { createProjectionRunner } from '../../src/projections/runner/projection-runner.js';
import type { ProjectionRunner } from '../../src/projections/runner/projection-runner.js';
import type { HealthCheck, QueryDeps, ReadModels } from '../../src/query/ports.js';
import { QueryModule, registerQuery } from '../../src/query/query.module.js';
import type { SubscriptionLimits } from '../../src/query/query.module.js';
import { createReadModels } from '../../src/query/read-models.js';
import type { TestDatabase } from './database.js';
import { tellLog } from './ledger-log.js';
import type { ToldEvent } from './ledger-log.js';

export interface QueryServerOptions {
  database: TestDatabase;
  ledger?: string;
  apiKeys?: readonly string[];
  health?: readonly HealthCheck[];
  limits?: SubscriptionLimits;
  /** Changes what queries are told of the read models. */
  wrapReadModels?: (readModels: ReadModels) => ReadModels;
}

export interface QueryServer {
  url: string;
  outbox: Outbox;
  runner: ProjectionRunner;
  /** Writes events and waits until the read models have them. Answers the head. */
  tell(events: readonly ToldEvent[]): Promise<bigint>;
  close(): Promise<void>;
}

/** The query side over HTTP on a free port of the loopback, on a real log with real read models. */
export async function startQueryServer(options: QueryServerOptions): Promise<QueryServer> {
  const { database, ledger = 'main' } = options;
  const { pool } = database;
  const logger = createLogger(process.env['TEST_LOG'] ?? 'silent');
  const feed = createPostgresFeed({ pool, ledger });
  const outbox = createPostgresOutbox({ pool, ledger });
  const runner = createProjectionRunner({
    pool,
    ledger,
    feed,
    projections: ALL_PROJECTIONS,
    rebuild: (names) => rebuildProjections({ pool, ledger, projections: ALL_PROJECTIONS, names }),
  });
  await runner.start();
  const readModels = createReadModels({
    progress: runner,
    status: () => runner.status(),
    isToldHere: () => runner.isLeader(),
  });
  const authenticate = createAuthenticate(options.apiKeys);
  const deps: QueryDeps = {
    pool,
    ledger,
    outbox,
    readModels: options.wrapReadModels?.(readModels) ?? readModels,
    authenticate,
    health: options.health ?? [],
    logger,
  };
  const app = await createHttpApp(QueryModule.register(deps), {
    authenticate,
    trustProxy: false,
    logger,
    onInvariantBroken: (error) => {
      throw error;
    },
  });
  registerQuery(app.getHttpAdapter().getInstance(), deps, options.limits);
  await app.init();
  await app.listen(0, '127.0.0.1');
  return {
    url: (await app.getUrl()).replace('[::1]', '127.0.0.1'),
    outbox,
    runner,
    tell: async (events) => {
      const head = await tellLog(database.ownerPool, ledger, events);
      feed.wake(head);
      const reached = await runner.waitFor(head, undefined, 5_000);
      if (reached < head)
        throw new Error(
          `the read models stopped at ${reached}: ${JSON.stringify(await runner.status(), (_key, value: unknown) => (typeof value === 'bigint' ? String(value) : value))}`,
        );
      return head;
    },
    close: async () => {
      await app.close();
      await runner.stop();
      await feed.close();
    },
  };
}
