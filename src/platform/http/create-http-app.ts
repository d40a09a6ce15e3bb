import type { DynamicModule, LoggerService, Type } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import type { InvariantError } from '../assert.js';
import type { Logger } from '../logger.js';
import { createHttpAdapter, type HttpOptions } from './http-adapter.js';
import { ProblemFilter } from './problem-filter.js';
import { SchemaPipe } from './schema-pipe.js';

export interface HttpAppOptions extends HttpOptions {
  onInvariantBroken: (error: InvariantError) => void;
}

/** A Nest application on our Fastify: problems for every error, schemas on every parameter. Neither initialised nor listening. */
export async function createHttpApp(
  module: DynamicModule | Type,
  options: HttpAppOptions,
): Promise<NestFastifyApplication> {
  const { logger, onInvariantBroken } = options;
  const { adapter, routes } = createHttpAdapter(options);
  const app = await NestFactory.create<NestFastifyApplication>(module, adapter, {
    // Fastify parses JSON itself; Nest's parser would take forms as well.
    bodyParser: false,
    logger: nestLogger(logger),
    abortOnError: false,
  });
  app.useGlobalFilters(new ProblemFilter({ routes, logger, onInvariantBroken }));
  app.useGlobalPipes(new SchemaPipe());
  return app;
}

/** Nest's own messages: what goes wrong goes into our log, its chatter about modules and routes goes nowhere. */
function nestLogger(logger: Logger): LoggerService {
  return {
    log: () => undefined,
    warn: (message: unknown) => {
      logger.warn({ from: 'nest' }, String(message));
    },
    error: (message: unknown) => {
      logger.error({ from: 'nest' }, String(message));
    },
  };
}
