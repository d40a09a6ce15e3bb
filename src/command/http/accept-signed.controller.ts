import { Body, Controller, Inject, Param, Post, Req, Res } from '@nestjs/common';
import { RouteConfig } from '@nestjs/platform-fastify';
import { ApiBody, ApiConsumes, ApiTags } from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { idSchema } from '../../domain/primitives.js';
import type { RouteSettings } from '../../platform/http/http-adapter.js';
import { ProblemError } from '../../platform/http/problem.js';
import { AcceptSignedCommand } from '../handlers/accept-signed.js';
import { ApiCommand } from './api-docs.js';
import { CommandEndpoint } from './command-endpoint.js';
import { acceptSignedAnswer } from './schemas.js';

/** 600 inputs, each with a previous transaction of some kilobytes, in base64. */
const MAX_PSBT_BYTES = 16 * 1024 * 1024;
const ROUTE: RouteSettings = { accepts: ['text/plain', 'application/octet-stream'], bodyLimitBytes: MAX_PSBT_BYTES };

@ApiTags('payouts')
@Controller()
export class AcceptSignedController {
  constructor(@Inject(CommandEndpoint) private readonly endpoint: CommandEndpoint) {}

  @Post('/v1/payouts/:payoutId/psbt')
  @RouteConfig(ROUTE)
  @ApiConsumes('text/plain', 'application/octet-stream')
  @ApiBody({
    description: 'The signed PSBT: base64 as text, or its bytes',
    schema: { type: 'string', format: 'binary', minLength: 1 },
  })
  @ApiCommand({
    summary: 'Bring the signed PSBT of a payout back',
    description:
      'Compared byte for byte with what was asked, every signature verified. From here on nothing leads back: the payment will be made.',
    params: { payoutId: idSchema },
    success: { status: 202, description: 'It is signed, and will be sent', schema: acceptSignedAnswer },
    problems: ['payout-not-found', 'payout-not-ready', 'psbt-mismatch', 'psbt-incomplete'],
  })
  acceptSigned(
    @Param('payoutId', { schema: idSchema }) payoutId: string,
    @Body() body: unknown,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<object> {
    const input = { payoutId, signed: signedOf(body, request.headers['content-type'] ?? '') };
    return this.endpoint.run(request, reply, (context) => new AcceptSignedCommand(context, input));
  }
}

/** As it came: what it is, is found out by who checks it. */
function signedOf(body: unknown, contentType: string): Uint8Array | string {
  if (!(body instanceof Uint8Array) || body.length === 0) {
    throw new ProblemError('request-malformed', 'The body is empty: send the signed PSBT.');
  }
  if (!contentType.toLowerCase().startsWith('text/plain')) return body;
  return Buffer.from(body.buffer, body.byteOffset, body.length).toString('latin1').trim();
}
