import { createHash } from 'node:crypto';
import { Inject, Injectable } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { ProblemError } from '../../platform/http/problem.js';
import type { AsOf } from '../as-of.js';
import { ReadError } from '../errors.js';
import { minPosition, waitForPosition } from '../min-position.js';
import { Reader } from '../reader.js';
import type { ReaderDeps, View } from '../reader.js';

export const READER_DEPS = Symbol('tallystick.reader-deps');

/** What all GET endpoints of read models have in common: as of, waiting, `Ledger-Position`, `ETag`, problems. */
@Injectable()
export class ReadEndpoint {
  constructor(@Inject(READER_DEPS) private readonly deps: ReaderDeps) {}

  /**
   * Answers what `read` finds as of the moment; undefined with 304 where the client has it already. The body says nothing of
   * positions, so that its tag changes only when it does.
   */
  async answer(
    request: FastifyRequest,
    reply: FastifyReply,
    asked: { models: readonly string[]; asOf: AsOf | undefined },
    read: (view: View) => Promise<object>,
  ): Promise<object | undefined> {
    await waitForPosition(this.deps.readModels, minPosition(request.headers['ledger-min-position']), asked.models);
    try {
      const view = await new Reader(this.deps, asked.models).view(asked.asOf, '');
      const body = await read(view);
      const tag = `"${createHash('sha256').update(JSON.stringify(body)).digest('base64url').slice(0, 22)}"`;
      void reply.headers({
        etag: tag,
        'ledger-position': String(view.at.position),
        'cache-control': 'no-cache',
        vary: 'Authorization',
      });
      if (!hasTag(request.headers['if-none-match'], tag)) return body;
      void reply.code(304);
      return undefined;
    } catch (error) {
      throw error instanceof ReadError ? asProblem(error) : error;
    }
  }
}

/** If-None-Match compares weakly (RFC 9110, 13.1.2). */
function hasTag(header: string | undefined, tag: string): boolean {
  if (header === undefined) return false;
  if (header.trim() === '*') return true;
  return header.split(',').some((each) => each.trim().replace(/^W\//, '') === tag);
}

function asProblem(error: ReadError): ProblemError {
  if (error.code === 'LEDGER_BEHIND') {
    const position = error.facts['position'] ?? '0';
    return new ProblemError('ledger-behind', sentence(error.message), {
      headers: { 'ledger-position': position },
      extensions: { position },
    });
  }
  // `asOf.height: 7 lies in the future …`: here it is a parameter of its own.
  const pointer = `/${(error.facts['argument'] ?? '').replace(/^asOf\.?/, '')}`;
  const detail = error.message.replace(/^asOf(\.[a-zA-Z]+)?: /, '');
  return new ProblemError('validation-failed', `The moment cannot be answered: ${detail}.`, {
    errors: [{ pointer, detail }],
  });
}

function sentence(message: string): string {
  return `${message.charAt(0).toUpperCase()}${message.slice(1)}.`;
}
