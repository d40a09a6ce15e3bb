import { Body, Controller, Inject, Param, Post, Req, Res } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { z } from 'zod';
import { idSchema } from '../../domain/primitives.js';
import { BumpWithdrawalCommand } from '../handlers/bump-withdrawal.js';
import { ApiCommand } from './api-docs.js';
import { CommandEndpoint } from './command-endpoint.js';
import { bumpWithdrawalAnswer, bumpWithdrawalBody } from './schemas.js';

@ApiTags('withdrawals')
@Controller()
export class BumpWithdrawalController {
  constructor(@Inject(CommandEndpoint) private readonly endpoint: CommandEndpoint) {}

  @Post('/v1/withdrawals/:withdrawalId/bump')
  @ApiCommand({
    summary: 'Raise the fee of a withdrawal',
    description:
      'Once its payment is signed. The payment is replaced, or paid for by a child; where that cannot be, the payout says why.',
    body: bumpWithdrawalBody,
    params: { withdrawalId: idSchema },
    success: { status: 202, description: 'It is tried', schema: bumpWithdrawalAnswer },
    problems: ['withdrawal-not-found', 'withdrawal-not-bumpable', 'fee-rate-too-high'],
  })
  bumpWithdrawal(
    @Param('withdrawalId', { schema: idSchema }) withdrawalId: string,
    @Body({ schema: bumpWithdrawalBody }) body: z.output<typeof bumpWithdrawalBody>,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<object> {
    const input = { withdrawalId, feeRateSatsPerVbyte: body.feeRateSatsPerVbyte };
    return this.endpoint.run(request, reply, (context) => new BumpWithdrawalCommand(context, input));
  }
}
