import { randomBytes } from 'node:crypto';
import { STATUS_CODES, type RequestListener } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Logger } from '../logger.js';
import type { Tracing } from '../tracing.js';
import { ANONYMOUS, type Authenticate } from './api-keys.js';
import type { Mounts } from './mounts.js';
import { KnownRoutes, notFound } from './known-routes.js';
import { sendProblem } from './problem-filter.js';
import { PROBLEM_CODES } from './problem-codes.js';
import { answerOddRequests } from './odd-requests.js';
import { problemOf } from './problem-of.js';
import { parseJsonBytes } from './parse-json-bytes.js';
import { ProblemError, problemHeaders, renderProblem } from './problem.js';
import { createRandomHex } from './random-hex.js';
import { refuseForeign } from './refuse-foreign.js';
import { pathOf, setRequestContext } from './request-context.js';
import { readTraceContext, TRACE_BYTES } from './trace-context.js';
import { traceRequest } from './trace-request.js';

/** Commands are small; 1 MiB is far above the largest valid one. */
export const JSON_BODY_LIMIT_BYTES = 1024 * 1024;
/** Ids have at most 64 characters; percent-encoded each takes 3. */
const MAX_PARAM_LENGTH = 200;
/** A client that has not sent its whole request by then (slow loris). */
const REQUEST_TIMEOUT_MS = 30_000;
const KEEP_ALIVE_TIMEOUT_MS = 72_000;

/** What a route can say about itself: in Nest with `@RouteConfig`, in Fastify with `config`. */
export interface RouteSettings {
  /** Needs no API key. */
  public?: boolean;
  /** Content types of its body; JSON where nothing is said. */
  accepts?: readonly string[];
  /** Bytes of its body; `JSON_BODY_LIMIT_BYTES` where nothing is said. */
  bodyLimitBytes?: number;
}

export interface HttpOptions {
  authenticate: Authenticate;
  logger: Logger;
  trustProxy: boolean;
  /** Addresses, with all below them, that need no API key; for routes that cannot say so themselves (`RouteSettings`). */
  publicPaths?: readonly string[];
  /** 48 hex digits; random unless a test says otherwise. */
  randomHex?: () => string;
  /** What is served below paths of this application's server. */
  mounts?: Mounts;
  /** Undefined: requests carry their caller's trace on, without spans of ours. */
  tracing?: Tracing | undefined;
}

/**
 * Fastify as Nest's server, with what holds for every route: trace context, API keys, content types, body limits, and
 * problems for what Fastify refuses on its own. Use with `NestFactory.create(module, adapter, { bodyParser: false })`
 * and `ProblemFilter` as global filter with the same `routes`.
 */
export function createHttpAdapter(options: HttpOptions): { adapter: FastifyAdapter; routes: KnownRoutes } {
  const randomHex = options.randomHex ?? createRandomHex(TRACE_BYTES);
  const { mounts } = options;
  const adapter = new FastifyAdapter({
    ...(mounts === undefined
      ? {}
      : {
          serverFactory: (handler: RequestListener, settings: object) => mounts.createServer(settings, handler),
        }),
    bodyLimit: JSON_BODY_LIMIT_BYTES,
    trustProxy: options.trustProxy,
    // Idle keep-alive connections would hold up the end of the process; commands under way get their answer.
    forceCloseConnections: 'idle',
    // Answered by our own hook, as a problem.
    return503OnClosing: false,
    requestTimeout: REQUEST_TIMEOUT_MS,
    keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
    routerOptions: { maxParamLength: MAX_PARAM_LENGTH },
    frameworkErrors: (error: Error, request: FastifyRequest, reply: FastifyReply) => {
      // These come before every hook.
      setRequestContext(request, { trace: readTraceContext(request.headers.traceparent, randomHex), actor: ANONYMOUS });
      void sendProblem(request, reply, problemOf(error));
    },
    clientErrorHandler: answerClientError,
  });
  const fastify = adapter.getInstance<FastifyInstance>();
  const routes = new KnownRoutes();
  takeRouteSettings(fastify, routes, options.logger);
  const { authenticate, publicPaths = [], tracing } = options;
  openEveryRequest(fastify, { routes, randomHex, authenticate, publicPaths, tracing });
  closeGracefully(fastify, mounts);
  answerOddRequests(fastify.server, answerByHand);
  parseJsonBytes(fastify);
  // Only what a route asks for: no route of ours takes text or bytes unless it says so.
  fastify.removeContentTypeParser('text/plain');
  fastify.addContentTypeParser(
    ['text/plain', 'application/octet-stream'],
    { parseAs: 'buffer' },
    (_request, body, done) => {
      done(null, body);
    },
  );
  return { adapter, routes };
}

function takeRouteSettings(fastify: FastifyInstance, routes: KnownRoutes, logger: Logger): void {
  fastify.addHook('onRoute', (route) => {
    const settings = route.config as RouteSettings | undefined;
    routes.add(route.url, Array.isArray(route.method) ? route.method : [route.method], settings?.public === true);
    if (settings?.bodyLimitBytes !== undefined) route.bodyLimit = settings.bodyLimitBytes;
    // What fails before the handler (parsing, limits). Nest's handler would get these too, but without Fastify's codes.
    route.errorHandler ??= (error, request, reply) => {
      const problem = problemOf(error);
      if (PROBLEM_CODES[problem.code].status >= 500)
        logger.error({ path: pathOf(request), err: error }, 'request failed');
      void sendProblem(request, reply, problem);
    };
  });
}

interface OpeningOptions {
  routes: KnownRoutes;
  randomHex: () => string;
  authenticate: Authenticate;
  publicPaths: readonly string[];
  tracing: Tracing | undefined;
}

function isBelow(prefixes: readonly string[], path: string): boolean {
  return prefixes.some((prefix) => path === prefix || path.startsWith(`${prefix}/`));
}

/** Once the end has begun, requests are refused, and connections of those under way are not kept for further ones. */
function closeGracefully(fastify: FastifyInstance, mounts: Mounts | undefined): void {
  let isClosing = false;
  fastify.addHook('preClose', (done) => {
    isClosing = true;
    mounts?.close();
    done();
  });
  fastify.addHook('onRequest', (request, reply, done) => {
    if (!isClosing) done();
    else void sendProblem(request, reply, new ProblemError('shutting-down', 'The server is about to stop.'));
  });
  fastify.addHook('onSend', (_request, reply, payload, done) => {
    if (isClosing) void reply.header('connection', 'close');
    done(null, payload);
  });
}

function openEveryRequest(
  fastify: FastifyInstance,
  { routes, randomHex, authenticate, publicPaths, tracing }: OpeningOptions,
): void {
  const isOpen = authenticate(undefined) !== undefined;
  fastify.addHook('onRequest', (request, reply, done) => {
    const settings = (request.routeOptions.config ?? {}) as RouteSettings;
    const trace =
      (tracing && traceRequest(tracing, request, reply)) ?? readTraceContext(request.headers.traceparent, randomHex);
    const actor = authenticate(request.headers.authorization);
    setRequestContext(request, { trace, actor: actor ?? ANONYMOUS });
    const path = pathOf(request);
    const isPublic =
      settings.public === true || (request.is404 && routes.isPublicAt(path)) || isBelow(publicPaths, path);
    if (actor === undefined && !isPublic) {
      void sendProblem(
        request,
        reply,
        new ProblemError('unauthorized', 'Send an API key: Authorization: Bearer <key>.'),
      );
      return;
    }
    const foreign = isOpen ? refuseForeign(request.headers) : undefined;
    if (foreign !== undefined) {
      void sendProblem(request, reply, foreign);
      return;
    }
    // Before its body is read: what is wrong with that does not matter where nobody takes it.
    const refused = request.is404
      ? notFound(routes, pathOf(request))
      : (refuseContentCoding(request) ?? refuseContentType(request, settings));
    if (refused !== undefined) {
      void sendProblem(request, reply, refused);
      return;
    }
    done();
  });
}

/** Nothing here takes compressed bodies; passing over the header would be to read one thing where another was sent. */
function refuseContentCoding({ headers }: FastifyRequest): ProblemError | undefined {
  const coding = headers['content-encoding']?.trim().toLowerCase() ?? '';
  if (coding === '' || coding === 'identity') return undefined;
  return new ProblemError('unsupported-media-type', 'Send the body as it is, without a Content-Encoding.', {
    headers: { 'accept-encoding': 'identity' },
  });
}

const JSON_ONLY: readonly string[] = ['application/json'];

function refuseContentType(request: FastifyRequest, settings: RouteSettings): ProblemError | undefined {
  const { headers } = request;
  const hasBody = headers['transfer-encoding'] !== undefined || (headers['content-length'] ?? '0') !== '0';
  if (!hasBody) return undefined;
  const accepts = settings.accepts ?? JSON_ONLY;
  const contentType = (headers['content-type'] ?? '').split(';', 1)[0]?.trim().toLowerCase() ?? '';
  if (accepts.includes(contentType)) return undefined;
  return new ProblemError('unsupported-media-type', `Send ${accepts.join(' or ')}.`, {
    headers: { 'accept-post': accepts.join(', ') },
  });
}

/** Bytes that are no HTTP request: there is no request object yet, so the answer is written by hand. */
function answerClientError(error: Error & { code?: string }, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  answerByHand(socket, ofClientError(error.code));
}

/** Answers with a problem where there is nothing but a socket, and closes it. */
function answerByHand(socket: Duplex, problem: ProblemError): void {
  const { status } = PROBLEM_CODES[problem.code];
  const body = JSON.stringify(renderProblem(problem, '', randomBytes(16).toString('hex')));
  const headers = {
    ...problemHeaders(problem),
    'content-length': String(Buffer.byteLength(body)),
    connection: 'close',
  };
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\n${lines.join('')}\r\n${body}`);
}

function ofClientError(code: string | undefined): ProblemError {
  switch (code) {
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return new ProblemError('request-timeout', 'The request did not arrive in time.');
    case 'HPE_HEADER_OVERFLOW':
      return new ProblemError('headers-too-large', 'The headers are too large.');
    default:
      return new ProblemError('request-malformed', 'This is not an HTTP request.');
  }
}
