import { Catch, NotFoundException, type ArgumentsHost, type ExceptionFilter } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Logger } from '../logger.js';
import { InvariantError } from '../assert.js';
import { notFound, type KnownRoutes } from './known-routes.js';
import { PROBLEM_CODES } from './problem-codes.js';
import { problemOf } from './problem-of.js';
import { ProblemError, problemHeaders, renderProblem } from './problem.js';
import { uriReference } from './uri-reference.js';
import { pathOf, requestContext } from './request-context.js';

/** Answers with a problem; usable from hooks and from routes outside Nest. */
export function sendProblem(request: FastifyRequest, reply: FastifyReply, error: ProblemError): FastifyReply {
  const { traceId } = requestContext(request).trace;
  return reply
    .code(PROBLEM_CODES[error.code].status)
    .headers(problemHeaders(error))
    .send(JSON.stringify(renderProblem(error, uriReference(pathOf(request)), traceId)));
}

export interface ProblemFilterOptions {
  routes: KnownRoutes;
  logger: Logger;
  /** A broken invariant must stop the process: called after the answer was sent. */
  onInvariantBroken: (error: InvariantError) => void;
}

/** Every error, of our code, of Nest and of Fastify, becomes an RFC 9457 problem here. */
@Catch()
export class ProblemFilter implements ExceptionFilter {
  constructor(private readonly options: ProblemFilterOptions) {}

  catch(thrown: unknown, host: ArgumentsHost): void {
    const http = host.switchToHttp();
    const request = http.getRequest<FastifyRequest>();
    const reply = http.getResponse<FastifyReply>();
    const problem =
      thrown instanceof NotFoundException ? notFound(this.options.routes, pathOf(request)) : problemOf(thrown);
    if (PROBLEM_CODES[problem.code].status >= 500) {
      const { traceId } = requestContext(request).trace;
      const facts = { traceId, path: pathOf(request), code: problem.code };
      // Anybody can ask for a position that will not come for years: what we say ourselves is no failure of ours.
      if (thrown instanceof ProblemError) this.options.logger.warn(facts, thrown.detail);
      else this.options.logger.error({ ...facts, err: thrown }, 'request failed');
    }
    if (!reply.sent) void sendProblem(request, reply, problem);
    if (thrown instanceof InvariantError) this.options.onInvariantBroken(thrown);
  }
}
