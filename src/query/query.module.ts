import { Module, type DynamicModule } from '@nestjs/common';
import type { FastifyInstance } from 'fastify';
import { createAsOf } from './as-of.js';
import { buildQuerySchema } from './graphql/build-schema.js';
import { registerGraphqlRoute } from './graphql/graphql-route.js';
import { registerQueryEngine } from './graphql/query-engine.js';
import { GetAccountController } from './http/get-account.controller.js';
import { GetPayoutController } from './http/get-payout.controller.js';
import { GetWalletController } from './http/get-wallet.controller.js';
import { GetWithdrawalController } from './http/get-withdrawal.controller.js';
import { HEALTH_DEPS, HealthController } from './http/health.controller.js';
import { READER_DEPS, ReadEndpoint } from './http/read-endpoint.js';
import { registerStaticFiles } from './http/static-files.js';
import { DEFAULT_OVERDUE_MINUTES } from './overdue.js';
import type { QueryDeps } from './ports.js';
import type { ReaderDeps } from './reader.js';
import { createReadDatabase } from './sql/database.js';
import { createSubscriptionProtocol } from './subscriptions/subscription-protocol.js';
import { registerWebSockets } from './subscriptions/websocket-server.js';
import type { WebSocketOptions } from './subscriptions/websocket-server.js';

/** The query side over REST: accounts, wallets, health. */
@Module({})
export class QueryModule {
  static register(deps: QueryDeps): DynamicModule {
    return {
      module: QueryModule,
      controllers: [
        GetAccountController,
        GetWalletController,
        GetWithdrawalController,
        GetPayoutController,
        HealthController,
      ],
      providers: [
        { provide: READER_DEPS, useValue: createReaderDeps(deps) },
        { provide: HEALTH_DEPS, useValue: deps },
        ReadEndpoint,
      ],
    };
  }
}

/** Limits of subscriptions, and what else is served by the same server. */
export type SubscriptionLimits = Pick<
  WebSocketOptions,
  'maxConnections' | 'stuckClientMs' | 'pingIntervalMs' | 'mounts'
>;

/**
 * GraphQL at `/graphql` over HTTP and WebSocket, GraphiQL and the page at `/`, on the Fastify below Nest. Call it before the
 * application is initialised.
 */
export function registerQuery(fastify: FastifyInstance, deps: QueryDeps, limits: SubscriptionLimits = {}): void {
  const readerDeps = createReaderDeps(deps);
  const schema = buildQuerySchema();
  registerGraphqlRoute(fastify, registerQueryEngine(fastify, schema, deps, readerDeps), deps.logger);
  registerWebSockets(fastify, createSubscriptionProtocol(schema, deps, readerDeps), {
    path: '/graphql',
    isOpen: deps.authenticate(undefined) !== undefined,
    logger: deps.logger,
    ...limits,
  });
  registerStaticFiles(fastify);
}

function createReaderDeps({ pool, ledger, outbox, readModels, overdueMinutes }: QueryDeps): ReaderDeps {
  const database = createReadDatabase(pool, ledger);
  return {
    database,
    outbox,
    readModels,
    resolveAsOf: createAsOf({ database, outbox, readModels }),
    overdue: { minutes: overdueMinutes ?? DEFAULT_OVERDUE_MINUTES, now: () => new Date() },
  };
}
