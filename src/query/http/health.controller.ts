import { Controller, Get, Inject, Req } from '@nestjs/common';
import { RouteConfig } from '@nestjs/platform-fastify';
import { ApiOperation, ApiResponse, ApiSecurity, ApiTags } from '@nestjs/swagger';
import type { FastifyRequest } from 'fastify';
import { z } from 'zod';
import { ProblemError } from '../../platform/http/problem.js';
import type { QueryDeps } from '../ports.js';
import { runChecks } from './run-checks.js';

export const HEALTH_DEPS = Symbol('tallystick.health-deps');
export type HealthDeps = Pick<QueryDeps, 'health' | 'authenticate' | 'logger'>;

const checksSchema = z.record(z.string(), z.object({ ok: z.boolean(), detail: z.string().optional() }));
const liveAnswer = z.object({ status: z.literal('live') });
const readyAnswer = z.object({ status: z.literal('ready'), checks: checksSchema });

/** For probes, which have no key; details are for those who have one. */
@ApiTags('health')
@ApiSecurity({})
@Controller()
export class HealthController {
  constructor(@Inject(HEALTH_DEPS) private readonly deps: HealthDeps) {}

  @Get('/health/live')
  @RouteConfig({ public: true })
  @ApiOperation({ summary: 'The process answers' })
  @ApiResponse({ status: 200, description: 'It does', standardSchema: liveAnswer })
  healthLive(): object {
    return { status: 'live' };
  }

  @Get('/health/ready')
  @RouteConfig({ public: true })
  @ApiOperation({ summary: 'Every part works: database, feed, lag, node' })
  @ApiResponse({ status: 200, description: 'All of them', standardSchema: readyAnswer })
  @ApiResponse({
    status: 503,
    description: '`unavailable`: not all of them; `checks` names each',
    content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
  })
  async healthReady(@Req() request: FastifyRequest): Promise<object> {
    const { health, authenticate, logger } = this.deps;
    const results = await runChecks(health, (name, error) => {
      logger.warn({ err: error, check: name }, 'a health check failed');
    });
    const withDetails = authenticate(request.headers.authorization) !== undefined;
    const checks = Object.fromEntries(
      Object.entries(results).map(([name, { ok, detail }]) => [name, withDetails ? { ok, detail } : { ok }]),
    );
    const failed = Object.entries(results).filter(([, { ok }]) => !ok);
    if (failed.length === 0) return { status: 'ready', checks };
    const names = failed.map(([name]) => name).join(', ');
    throw new ProblemError('unavailable', `Not ready: ${names}.`, { extensions: { checks } });
  }
}
