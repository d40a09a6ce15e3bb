import { Inject, Injectable } from '@nestjs/common';
import { CommandBus } from '@nestjs/cqrs';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { ProblemError } from '../../platform/http/problem.js';
import { requestContext } from '../../platform/http/request-context.js';
import type { CommandContext } from '../command-context.js';
import type { CommandOutcome } from '../run-command.js';
import { readIdempotencyKey } from './idempotency-key.js';

/** Marks an answer that was given before. */
export const REPLAYED_HEADER = 'idempotency-replayed';
export const POSITION_HEADER = 'ledger-position';

/** What all command endpoints do: read the key, run the command, answer. */
@Injectable()
export class CommandEndpoint {
  constructor(@Inject(CommandBus) private readonly bus: CommandBus) {}

  async run(
    request: FastifyRequest,
    reply: FastifyReply,
    command: (context: CommandContext) => object,
  ): Promise<Record<string, unknown>> {
    const { trace, actor } = requestContext(request);
    // Node joins headers of one name with commas: two keys would look like a third one.
    const keys = request.raw.headersDistinct['idempotency-key'];
    const idempotencyKey = readIdempotencyKey(keys?.length === 1 ? keys[0] : keys);
    const context = { idempotencyKey, correlationId: trace.traceId, traceparent: trace.traceparent, actor };
    return answer(reply, await this.bus.execute<object, CommandOutcome>(command(context)));
  }
}

/** @throws ProblemError for everything but success */
function answer(reply: FastifyReply, outcome: CommandOutcome): Record<string, unknown> {
  switch (outcome.kind) {
    case 'done': {
      const position = outcome.position.toString();
      if (outcome.replayed) void reply.header(REPLAYED_HEADER, 'true');
      void reply.code(outcome.status).header(POSITION_HEADER, position);
      return { ...outcome.body, position };
    }
    case 'rejected':
      throw new ProblemError(
        outcome.code,
        outcome.detail,
        outcome.replayed ? { headers: { [REPLAYED_HEADER]: 'true' } } : {},
      );
    case 'key-in-use':
      throw new ProblemError('idempotency-key-in-use', 'A request with this Idempotency-Key is still running.', {
        headers: { 'retry-after': '1' },
      });
    case 'key-reused':
      throw new ProblemError(
        'idempotency-key-reused',
        'This Idempotency-Key was used for another request. A new request needs a new key.',
      );
  }
}
