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
import type { Logger } from '../platform/logger.js';
import { VERSION } from '../platform/version.js';

export interface HttpAppOptions {
  config: Pick<Config, 'apiKeys' | 'trustProxy'>;
  logger: Logger;
  onFatal: (error: unknown) => void;
  commands: CommandModuleOptions;
  /** Text for `GET /metrics`. */
  scrape: () => Promise<{ contentType: string; text: string }>;
}

/** The whole API in one Nest application: commands, reads, docs, metrics. Initialised, not listening. */
export async function createApi(options: HttpAppOptions): Promise<NestFastifyApplication> {
  const app = await createNestApp(ApiModule.register(options.commands), {
    authenticate: createAuthenticate(options.config.apiKeys),
    trustProxy: options.config.trustProxy,
    logger: options.logger,
    onInvariantBroken: options.onFatal,
  });
  serveMetrics(app.getHttpAdapter().getInstance(), options.scrape);
  const document = createOpenApiDocument(app, VERSION);
  SwaggerModule.setup('docs', app, document, { jsonDocumentUrl: 'openapi.json', customSiteTitle: 'Tallystick API' });
  await app.init();
  return app;
}

@Module({})
class ApiModule {
  static register(commands: CommandModuleOptions): DynamicModule {
    return { module: ApiModule, imports: [CommandModule.register(commands)] };
  }
}

function serveMetrics(fastify: FastifyInstance, scrape: HttpAppOptions['scrape']): void {
  const config: RouteSettings = {};
  fastify.get('/metrics', { config }, async (_request, reply) => {
    const { contentType, text } = await scrape();
    return reply.type(contentType).send(text);
  });
}
