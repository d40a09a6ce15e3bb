import { Body, Controller, Inject, Param, Post, Req, Res } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { z } from 'zod';
import { idSchema } from '../../domain/primitives.js';
import { CancelWithdrawalCommand } from '../handlers/cancel-withdrawal.js';
import { ApiCommand } from './api-docs.js';
import { CommandEndpoint } from './command-endpoint.js';
import { cancelWithdrawalAnswer, cancelWithdrawalBody } from './schemas.js';

@ApiTags('withdrawals')
@Controller()
export class CancelWithdrawalController {
  constructor(@Inject(CommandEndpoint) private readonly endpoint: CommandEndpoint) {}

  @Post('/v1/withdrawals/:withdrawalId/cancel')
  @ApiCommand({
    summary: 'Cancel a withdrawal',
    description: 'Until its payment is signed. What was set aside is given back.',
    body: cancelWithdrawalBody,
    params: { withdrawalId: idSchema },
    success: { status: 202, description: 'It will not be paid', schema: cancelWithdrawalAnswer },
    problems: ['withdrawal-not-found', 'withdrawal-not-cancellable'],
  })
  cancelWithdrawal(
    @Param('withdrawalId', { schema: idSchema }) withdrawalId: string,
    @Body({ schema: cancelWithdrawalBody }) body: z.output<typeof cancelWithdrawalBody>,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<object> {
    const input = { withdrawalId, reason: body.reason ?? null };
    return this.endpoint.run(request, reply, (context) => new CancelWithdrawalCommand(context, input));
  }
}
