import { Body, Controller, Inject, Param, Post, Req, Res } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { z } from 'zod';
import { idSchema } from '../../domain/primitives.js';
import { ResolvePayoutCommand } from '../handlers/resolve-payout.js';
import { ApiCommand } from './api-docs.js';
import { CommandEndpoint } from './command-endpoint.js';
import { resolvePayoutAnswer, resolvePayoutBody } from './schemas.js';

@ApiTags('payouts')
@Controller()
export class ResolvePayoutController {
  constructor(@Inject(CommandEndpoint) private readonly endpoint: CommandEndpoint) {}

  @Post('/v1/payouts/:payoutId/resolve')
  @ApiCommand({
    summary: 'Decide about a payout that is halted',
    description:
      'A transaction that is not ours spent one of its coins. Accepted once that transaction is buried as deep as a payment must be to be final; checked against the chain.',
    body: resolvePayoutBody,
    params: { payoutId: idSchema },
    success: { status: 202, description: 'It is decided', schema: resolvePayoutAnswer },
    problems: ['payout-not-found', 'payout-not-resolvable'],
  })
  resolvePayout(
    @Param('payoutId', { schema: idSchema }) payoutId: string,
    @Body({ schema: resolvePayoutBody }) body: z.output<typeof resolvePayoutBody>,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<object> {
    const { outcome, byTxid, note = '' } = body;
    const input = { payoutId, outcome, byTxid, note };
    return this.endpoint.run(request, reply, (context) => new ResolvePayoutCommand(context, input));
  }
}
