import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';
import { ProblemError } from './problem.js';

/** Requests that Node would answer on its own, with an empty body or none at all. */
export function answerOddRequests(server: Server, answer: (socket: Duplex, problem: ProblemError) => void): void {
  server.on('connect', (_request: IncomingMessage, socket: Duplex) => {
    socket.on('error', () => {
      // The client is gone, and nothing depends on it.
      socket.destroy();
    });
    answer(
      socket,
      new ProblemError('method-not-allowed', 'This is no proxy.', { headers: { allow: 'GET, HEAD, POST' } }),
    );
  });
  server.on('checkExpectation', (request: IncomingMessage) => {
    answer(
      request.socket,
      new ProblemError('expectation-failed', 'The only expectation that is known here is 100-continue.'),
    );
  });
}

/** Each says something about the connection that is no longer true once the upgrade is passed over. */
const OF_UPGRADE: readonly string[] = ['upgrade', 'connection', 'http2-settings'];

/**
 * Serves a request that asks for a protocol which is not spoken here as if it had not asked (RFC 9110, 7.8: a server may
 * ignore it). Java's client asks for `h2c` with every first request, and must get its answer. Node has taken the request
 * apart already when it tells of an upgrade, so its head is written down again, without the wish, and read anew.
 */
export function serveWithoutUpgrade(server: Server, request: IncomingMessage, socket: Duplex, head: Buffer): void {
  const { rawHeaders, method = 'GET', url = '/', httpVersion } = request;
  const lines = [`${method} ${url} HTTP/${httpVersion}`];
  for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
    const name = rawHeaders[index] ?? '';
    if (!OF_UPGRADE.includes(name.toLowerCase())) lines.push(`${name}: ${rawHeaders[index + 1] ?? ''}`);
  }
  socket.unshift(Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1'), head]));
  server.emit('connection', socket);
}
