import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http';
import type { Duplex } from 'node:stream';
import type { FastifyInstance } from 'fastify';
import { serveWithoutUpgrade } from './odd-requests.js';

/** What Fastify gives to who makes its server; not all of it is in its types. */
export interface ServerSettings {
  http?: object | null;
  keepAliveTimeout?: number;
  requestTimeout?: number;
  connectionTimeout?: number;
}

const PREFIX = Symbol('tallystick.mount-prefix');

/** Applications that are reached below a path of another one's server: `/ledgers/a` and everything below it. */
export class Mounts {
  readonly #apps = new Map<string, FastifyInstance>();
  #isClosing = false;

  /** @param prefix begins with `/`, does not end with one; two segments */
  add(prefix: string, app: FastifyInstance): void {
    this.#apps.set(prefix, app);
  }

  /** Those who are connected get their next answer, and with it the end of the connection. */
  close(): void {
    this.#isClosing = true;
  }

  /** The application that a request is for, whose `url` is then as that one expects it; undefined for everything else. */
  take(request: IncomingMessage): FastifyInstance | undefined {
    const match = /^(\/[^/?]+\/[^/?]+)(.*)$/.exec(request.url ?? '');
    const app = match?.[1] === undefined ? undefined : this.#apps.get(match[1]);
    if (app === undefined || match === null) return undefined;
    const rest = match[2] ?? '';
    request.url = rest.startsWith('/') ? rest : `/${rest}`;
    (request as IncomingMessage & { [PREFIX]?: string })[PREFIX] = match[1] ?? '';
    return app;
  }

  /** A server that hands requests, and wishes for another protocol, to the application that they are for. */
  createServer(settings: ServerSettings, handler: RequestListener): Server {
    const server = createServer(settings.http ?? {}, (request, response) => {
      const { url = '' } = request;
      const app = this.take(request);
      if (app !== undefined && this.#isClosing) response.setHeader('connection', 'close');
      if (app === undefined) handler(request, response);
      else if (url === mountPrefix(request)) response.writeHead(308, { location: `${url}/` }).end();
      else app.routing(request, response);
    });
    // As Fastify sets them on servers of its own.
    if (settings.keepAliveTimeout !== undefined) server.keepAliveTimeout = settings.keepAliveTimeout;
    if (settings.requestTimeout !== undefined) server.requestTimeout = settings.requestTimeout;
    server.setTimeout(settings.connectionTimeout ?? 0);
    return server;
  }
}

/** Hands requests for another protocol (WebSocket) on to the application that they are for, where the server has none of its own. */
export function handOnUpgrades(server: Server, mounts: Mounts): void {
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    const app = mounts.take(request);
    if (app === undefined) serveWithoutUpgrade(server, request, socket, head);
    else app.server.emit('upgrade', request, socket, head);
  });
}

/** The path below which the application that answers a request is mounted; empty at the root. */
export function mountPrefix(request: IncomingMessage): string {
  return (request as IncomingMessage & { [PREFIX]?: string })[PREFIX] ?? '';
}
