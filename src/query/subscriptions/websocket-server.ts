import { randomBytes } from 'node:crypto';
import { STATUS_CODES } from 'node:http';
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { FastifyInstance } from 'fastify';
import type { Server } from 'graphql-ws';
import { GRAPHQL_TRANSPORT_WS_PROTOCOL } from 'graphql-ws';
import { WebSocketServer } from 'ws';
import type { RawData, WebSocket } from 'ws';
import type { Mounts } from '../../platform/http/mounts.js';
import { serveWithoutUpgrade } from '../../platform/http/odd-requests.js';
import { refuseForeign } from '../../platform/http/refuse-foreign.js';
import type { Logger } from '../../platform/logger.js';
import { MAX_CONNECTIONS, MAX_MESSAGE_BYTES, PING_INTERVAL_MS, STUCK_CLIENT_MS } from '../limits.js';
import type { ConnectionExtra } from './subscription-protocol.js';

export interface WebSocketOptions {
  path: string;
  /** True where no key is asked for: then a page of another origin must not get in by the user's browser. */
  isOpen: boolean;
  logger: Logger;
  /** Applications below paths of this server: upgrades that are meant for one of them are handed on. */
  mounts?: Mounts | undefined;
  maxConnections?: number;
  stuckClientMs?: number;
  pingIntervalMs?: number;
}

/** Puts the protocol on the HTTP server's own port. Closes its connections before the server closes. */
export function registerWebSockets(
  fastify: FastifyInstance,
  protocol: Server<ConnectionExtra>,
  options: WebSocketOptions,
): void {
  const limits = {
    maxConnections: options.maxConnections ?? MAX_CONNECTIONS,
    stuckClientMs: options.stuckClientMs ?? STUCK_CLIENT_MS,
    pingIntervalMs: options.pingIntervalMs ?? PING_INTERVAL_MS,
  };
  const sockets = new WebSocketServer({
    noServer: true,
    maxPayload: MAX_MESSAGE_BYTES,
    perMessageDeflate: false,
    handleProtocols: (offered) => (offered.has(GRAPHQL_TRANSPORT_WS_PROTOCOL) ? GRAPHQL_TRANSPORT_WS_PROTOCOL : false),
  });
  fastify.server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    const mounted = options.mounts?.take(request);
    if (mounted !== undefined && mounted !== fastify) {
      mounted.server.emit('upgrade', request, socket, head);
      return;
    }
    if (!isWebSocket(request, options.path)) {
      serveWithoutUpgrade(fastify.server, request, socket, head);
      return;
    }
    // Until ws takes over, an error of the connection is nobody's else to handle.
    const drop = (): void => {
      socket.destroy();
    };
    socket.on('error', drop);
    const status = refusal(request, options, sockets.clients.size >= limits.maxConnections);
    if (status !== undefined) {
      socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n`);
      return;
    }
    sockets.handleUpgrade(request, socket, head, (client) => {
      socket.off('error', drop);
      serve(client, request, protocol, options.logger, limits);
    });
  });
  fastify.addHook('preClose', (done) => {
    for (const client of sockets.clients) client.close(1001, 'the server is about to stop');
    sockets.close();
    // Those that do not answer the goodbye are not waited for.
    setTimeout(() => {
      for (const client of sockets.clients) client.terminate();
    }, GOODBYE_MS).unref();
    done();
  });
}

const GOODBYE_MS = 500;

function isWebSocket({ url = '', headers: { upgrade = '' } }: IncomingMessage, path: string): boolean {
  return url.split('?', 1)[0] === path && upgrade.toLowerCase() === 'websocket';
}

function refusal(request: IncomingMessage, options: WebSocketOptions, isFull: boolean): number | undefined {
  const { origin, host, 'sec-websocket-protocol': offered = '' } = request.headers;
  if (isFull) return 503;
  const protocols = String(offered)
    .split(',')
    .map((each) => each.trim());
  if (!protocols.includes(GRAPHQL_TRANSPORT_WS_PROTOCOL)) return 400;
  if (options.isOpen && (refuseForeign({ origin, host }) || (origin !== undefined && hostOf(origin) !== host)))
    return 403;
  return undefined;
}

function hostOf(origin: string): string | undefined {
  try {
    return new URL(origin).host;
  } catch {
    return undefined;
  }
}

function serve(
  client: WebSocket,
  request: IncomingMessage,
  protocol: Server<ConnectionExtra>,
  logger: Logger,
  limits: { stuckClientMs: number; pingIntervalMs: number },
): void {
  let answered = true;
  const pings = setInterval(() => {
    if (!answered) {
      client.terminate();
      return;
    }
    answered = false;
    client.ping();
  }, limits.pingIntervalMs);
  client.on('pong', () => {
    answered = true;
  });
  const extra: ConnectionExtra = {
    authorization: request.headers.authorization,
    traceId: randomBytes(16).toString('hex'),
  };
  const closed = protocol.opened(
    {
      protocol: client.protocol,
      send: (data) => sent(client, data, limits.stuckClientMs),
      close: (code, reason) => {
        client.close(code, reason);
      },
      onMessage: (handle) => {
        client.on('message', (message: RawData) => {
          handle(textOf(message)).catch((error: unknown) => {
            // A message that is not of the protocol, or one that could not be sent.
            logger.debug({ err: error, traceId: extra.traceId }, 'a WebSocket was closed');
            client.close(4400, 'the message is not of the graphql-transport-ws protocol');
          });
        });
      },
    },
    extra,
  );
  client.on('error', (error) => {
    logger.debug({ err: error, traceId: extra.traceId }, 'a WebSocket failed');
  });
  client.on('close', (code, reason) => {
    clearInterval(pings);
    closed(code, reason.toString()).catch((error: unknown) => {
      logger.error({ err: error, traceId: extra.traceId }, 'a WebSocket did not close well');
    });
  });
}

/**
 * Settles when the message has left this process: until then nothing more is read for this client. One that takes nothing for
 * long is dropped, so that it holds neither memory nor a subscription.
 */
function sent(client: WebSocket, data: string, stuckClientMs: number): Promise<void> {
  if (client.readyState !== client.OPEN) return Promise.resolve();
  return new Promise((resolve) => {
    const stuck = setTimeout(() => {
      client.terminate();
    }, stuckClientMs);
    client.send(data, () => {
      // Also when it failed: the socket's own `close` ends what depends on it.
      clearTimeout(stuck);
      resolve();
    });
  });
}

function textOf(message: RawData): string {
  if (Array.isArray(message)) return Buffer.concat(message).toString('utf8');
  return Buffer.isBuffer(message) ? message.toString('utf8') : Buffer.from(message).toString('utf8');
}
