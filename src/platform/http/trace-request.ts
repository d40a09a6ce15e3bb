import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Tracing } from '../tracing.js';
import type { TraceContext } from './trace-context.js';

/** Asked every few seconds by machines: a trace of each would hide the others. */
const UNTRACED = /^\/(health|metrics)(\/|$)/;

/**
 * A span for the request, from now until its answer is out or its connection is lost.
 *
 * @returns the trace that the request belongs to, with the span as what causes everything else; undefined for requests that are not traced
 */
export function traceRequest(tracing: Tracing, request: FastifyRequest, reply: FastifyReply): TraceContext | undefined {
  const { method } = request;
  // The route, not the path: that has ids in it, and as many names as there are accounts.
  const route = request.is404 ? undefined : request.routeOptions.url;
  if (route !== undefined && UNTRACED.test(route)) return undefined;
  const { traceparent } = request.headers;
  const { traceId, ...span } = tracing.begin(route === undefined ? method : `${method} ${route}`, {
    kind: 'SERVER',
    parent: typeof traceparent === 'string' ? traceparent : undefined,
    attributes: {
      'http.request.method': method,
      'url.scheme': request.protocol,
      ...(route === undefined ? {} : { 'http.route': route }),
    },
  });
  const { raw } = reply;
  raw.once('close', () => {
    const status = raw.writableFinished ? raw.statusCode : undefined;
    span.end({
      attributes: status === undefined ? { 'error.type': 'connection-lost' } : { 'http.response.status_code': status },
      failed: status === undefined || status >= 500,
    });
  });
  return { traceId, traceparent: span.traceparent };
}
