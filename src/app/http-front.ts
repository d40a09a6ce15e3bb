import { Module, type DynamicModule } from '@nestjs/common';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { createAuthenticate } from '../platform/http/api-keys.js';
import { createHttpApp } from '../platform/http/create-http-app.js';
import { handOnUpgrades } from '../platform/http/mounts.js';
import { HEALTH_DEPS, HealthController } from '../query/http/health.controller.js';
import type { HealthCheck, QueryDeps } from '../query/ports.js';
import { serveMetrics } from './http-app.js';
import type { OpenedLedger } from './open-ledger.js';
import type { ProcessParts } from './process-parts.js';

/** Where a process listens. */
export interface HttpFront {
  listen(port: number, host: string): Promise<string>;
  close(): Promise<void>;
}

/**
 * The server of a process. With one ledger and the API it is that ledger's application. Else it has health and metrics, and the
 * applications of the ledgers below `/ledgers/<name>`.
 */
export async function createHttpFront(parts: ProcessParts, ledgers: readonly OpenedLedger[]): Promise<HttpFront> {
  const [only, ...more] = ledgers;
  const front =
    only?.api !== undefined && more.length === 0 ? only.api : await createPlainFront(parts, gatherHealth(ledgers));
  for (const { ledger, api } of ledgers) {
    if (api === undefined) continue;
    const fastify = api.getHttpAdapter().getInstance();
    // One that listens does this by itself.
    await fastify.ready();
    parts.mounts.add(`/ledgers/${ledger}`, fastify);
  }
  return {
    listen: async (port, host) => {
      await front.listen(port, host);
      return front.getUrl();
    },
    close: () => front.close(),
  };
}

/** Checks that are the same for all ledgers. */
const OF_THE_PROCESS: readonly string[] = ['database', 'cdc'];

/** Checks of all ledgers; where there are several, each is named after its ledger. */
export function gatherHealth(ledgers: readonly OpenedLedger[]): readonly HealthCheck[] {
  if (ledgers.length === 1) return ledgers[0]?.health ?? [];
  return ledgers.flatMap(({ ledger, health }) =>
    health.map(({ name, check }) => ({ name: OF_THE_PROCESS.includes(name) ? name : `${ledger}/${name}`, check })),
  );
}

async function createPlainFront(
  { config, logger, onFatal, metrics, mounts }: ProcessParts,
  health: readonly HealthCheck[],
): Promise<NestFastifyApplication> {
  const authenticate = createAuthenticate(config.apiKeys);
  const app = await createHttpApp(FrontModule.register({ health, authenticate, logger }), {
    authenticate,
    trustProxy: config.trustProxy,
    logger,
    onInvariantBroken: onFatal,
    mounts,
  });
  const fastify = app.getHttpAdapter().getInstance();
  serveMetrics(fastify, () => metrics.scrape());
  handOnUpgrades(fastify.server, mounts);
  await app.init();
  return app;
}

@Module({})
class FrontModule {
  static register(deps: Pick<QueryDeps, 'health' | 'authenticate' | 'logger'>): DynamicModule {
    return {
      module: FrontModule,
      controllers: [HealthController],
      providers: [{ provide: HEALTH_DEPS, useValue: deps }],
    };
  }
}
