import { Body, Controller, HttpCode, Inject, Post, Req, Res } from '@nestjs/common';
import { RouteConfig } from '@nestjs/platform-fastify';
import { ApiBody, ApiConsumes, ApiTags } from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { RouteSettings } from '../../platform/http/http-adapter.js';
import { ProblemError } from '../../platform/http/problem.js';
import type { PushedBlocks } from '../../bitcoin/push/pushed-blocks.js';
import { ApiEndpoint } from './api-docs.js';
import { POSITION_HEADER } from './command-endpoint.js';
import { pushBlockAnswer } from './schemas.js';

/** Injection token of `PushedBlocks`, or of null where blocks come from elsewhere. */
export const PUSHED_BLOCKS = Symbol('PushedBlocks');

/** Consensus: a block weighs at most 4,000,000, so no block has more bytes (BIP141). */
export const MAX_BLOCK_BYTES = 4_000_000;
/** Hex, and some room for line ends. */
const MAX_HEX_BYTES = 2 * MAX_BLOCK_BYTES + 1_024;

const ROUTE: RouteSettings = { accepts: ['application/octet-stream', 'text/plain'], bodyLimitBytes: MAX_HEX_BYTES };

@ApiTags('chain')
@Controller()
export class PushBlockController {
  constructor(@Inject(PUSHED_BLOCKS) private readonly pushed: PushedBlocks | null) {}

  @Post('/v1/chain/blocks')
  @HttpCode(200)
  @RouteConfig(ROUTE)
  @ApiConsumes('application/octet-stream', 'text/plain')
  @ApiBody({
    description: 'One raw block: its bytes, or its hex as text',
    schema: { type: 'string', format: 'binary' },
  })
  @ApiEndpoint({
    summary: 'Give the ledger a block',
    description:
      'Open where BITCOIN_SOURCE is `push`. Needs no Idempotency-Key: the hash of the block says whether it is known.',
    success: { status: 200, description: 'The block is known now', schema: pushBlockAnswer },
    problems: ['chain-source-not-push', 'block-unknown-parent', 'block-invalid'],
    hasPosition: true,
  })
  async pushBlock(
    @Body() body: unknown,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<object> {
    if (this.pushed === null) {
      throw new ProblemError('chain-source-not-push', 'Blocks come from another source here (BITCOIN_SOURCE).');
    }
    const outcome = await this.pushed.submit(rawBlock(body, request.headers['content-type'] ?? ''));
    switch (outcome.kind) {
      case 'unknown-parent':
        throw new ProblemError(
          'block-unknown-parent',
          `The parent ${outcome.prevHash} of block ${outcome.hash} is not known here: send it first.`,
        );
      case 'invalid':
        throw new ProblemError('block-invalid', outcome.detail, { extensions: { reason: outcome.reason } });
      case 'accepted': {
        const { hash, height, disconnected, connected } = outcome;
        const position = outcome.position.toString();
        void reply.header(POSITION_HEADER, position);
        return { hash, height, outcome: outcome.outcome, disconnected, connected, position };
      }
    }
  }
}

function rawBlock(body: unknown, contentType: string): Uint8Array {
  if (!(body instanceof Uint8Array)) throw new ProblemError('block-invalid', 'The body is empty.');
  const bytes = contentType.toLowerCase().startsWith('text/plain') ? fromHex(body) : body;
  if (bytes.length > MAX_BLOCK_BYTES) {
    throw new ProblemError('body-too-large', `A block has at most ${MAX_BLOCK_BYTES} bytes.`);
  }
  return bytes;
}

function fromHex(body: Uint8Array): Uint8Array {
  const text = Buffer.from(body.buffer, body.byteOffset, body.length).toString('latin1').trim();
  const bytes = Buffer.from(text, 'hex');
  // The decoder stops at the first character that is no hex digit.
  if (text.length === 0 || bytes.length * 2 !== text.length)
    throw new ProblemError('block-invalid', 'The body is not hex.');
  return bytes;
}
