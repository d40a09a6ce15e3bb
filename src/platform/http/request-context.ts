import type { FastifyRequest } from 'fastify';
import { type Actor, ANONYMOUS } from './api-keys.js';
import type { TraceContext } from './trace-context.js';

/** What the edge knows of a request beyond Fastify: kept on the request itself. */
export interface RequestContext {
  trace: TraceContext;
  actor: Actor;
}

const CONTEXT = Symbol('tallystick.request-context');

export function setRequestContext(request: FastifyRequest, context: RequestContext): void {
  (request as unknown as Record<symbol, RequestContext>)[CONTEXT] = context;
}

/** The context of a request; requests that never came to the first hook (malformed URLs) have an empty one. */
export function requestContext(request: FastifyRequest): RequestContext {
  return (request as unknown as Record<symbol, RequestContext | undefined>)[CONTEXT] ?? NO_CONTEXT;
}

const NO_CONTEXT: RequestContext = {
  trace: { traceId: '0'.repeat(32), traceparent: '' },
  actor: ANONYMOUS,
};

const MAX_PATH_LENGTH = 256;

/** The path of a request without its query, which may hold what should not be repeated; cut where it is very long. */
export function pathOf(request: FastifyRequest): string {
  const { url } = request;
  const end = url.indexOf('?');
  return url.slice(0, Math.min(end === -1 ? url.length : end, MAX_PATH_LENGTH));
}
