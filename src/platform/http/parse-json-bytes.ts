import type { FastifyInstance } from 'fastify';
import { ProblemError } from './problem.js';

/**
 * Parses JSON bodies from their bytes. Fastify's own way puts U+FFFD wherever the bytes are not UTF-8, so that what is kept
 * would not be what was sent; RFC 8259 (8.1) wants UTF-8, and what is not is refused.
 */
export function parseJsonBytes(fastify: FastifyInstance): void {
  // "__proto__" and a constructor's prototype are refused, not dropped.
  const parseText = fastify.getDefaultJsonParser('error', 'error');
  fastify.removeContentTypeParser('application/json');
  fastify.addContentTypeParser('application/json', { parseAs: 'buffer' }, (request, body, done) => {
    let text: string;
    try {
      text = new TextDecoder('utf-8', { fatal: true }).decode(body as Buffer);
    } catch {
      done(new ProblemError('json-malformed', 'The body is not UTF-8.'));
      return;
    }
    // Answers through `done`, at once.
    void parseText(request, text, done);
  });
}
