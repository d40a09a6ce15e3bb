import { Module, type DynamicModule } from '@nestjs/common';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { SwaggerModule } from '@nestjs/swagger';
import type { FastifyInstance } from 'fastify';
import { CommandModule, type CommandModuleOptions } from '../command/command.module.js';
import { createOpenApiDocument } from '../command/http/openapi.js';
import type { Config } from '../platform/config.js';
import { createAuthenticate } from '../platform/http/api-keys.js';
import { createHttpApp as createNestApp } from '../platform/http/create-http-app.js';
import type { RouteSettings } from '../platform/http/http-adapter.js';
import type { Mounts } from '../platform/http/mounts.js';
import type { Logger } from '../platform/logger.js';
import type { Metrics } from '../platform/metrics.js';
import type { Tracing } from '../platform/tracing.js';
import type { QueryDeps } from '../query/ports.js';
import { QueryModule, registerQuery } from '../query/query.module.js';
import { VERSION } from '../platform/version.js';

export interface ApiHost {
  config: Pick<Config, 'apiKeys' | 'trustProxy'>;
  logger: Logger;
  onFatal: (error: unknown) => void;
  metrics: Pick<Metrics, 'scrape'>;
  /** What is served below paths of this application's server. */
  mounts: Mounts;
  tracing?: Tracing | undefined;
}

export interface ApiOptions {
  commands: CommandModuleOptions;
  query: Omit<QueryDeps, 'authenticate' | 'logger'>;
}

/** The whole API in one Nest application: commands, reads, docs, metrics. Initialised, not listening. */
export async function createApi(host: ApiHost, { commands, ...options }: ApiOptions): Promise<NestFastifyApplication> {
  const { config, logger, onFatal, metrics, mounts, tracing } = host;
  const authenticate = createAuthenticate(config.apiKeys);
  const query: QueryDeps = { ...options.query, authenticate, logger };
  const app = await createNestApp(ApiModule.register(commands, query), {
    authenticate,
    trustProxy: config.trustProxy,
    logger,
    onInvariantBroken: onFatal,
    // What the API looks like is no secret; calling it needs a key.
    publicPaths: ['/docs', '/openapi.json'],
    mounts,
    tracing,
  });
  const fastify = app.getHttpAdapter().getInstance();
  registerQuery(fastify, query, { mounts });
  serveMetrics(fastify, () => metrics.scrape());
  SwaggerModule.setup('docs', app, () => describeApi(app), {
    jsonDocumentUrl: 'openapi.json',
    customSiteTitle: 'Tallystick API',
  });
  await app.init();
  return app;
}

/** The OpenAPI document of what `createApi` made. */
export function describeApi(app: NestFastifyApplication): ReturnType<typeof createOpenApiDocument> {
  return createOpenApiDocument(app, VERSION);
}

@Module({})
class ApiModule {
  static register(commands: CommandModuleOptions, query: QueryDeps): DynamicModule {
    return { module: ApiModule, imports: [CommandModule.register(commands), QueryModule.register(query)] };
  }
}

/** `GET /metrics`, for Prometheus. */
export function serveMetrics(fastify: FastifyInstance, scrape: Metrics['scrape']): void {
  const config: RouteSettings = {};
  fastify.get('/metrics', { config }, async (_request, reply) => {
    const { contentType, text } = await scrape();
    return reply.type(contentType).send(text);
  });
}
