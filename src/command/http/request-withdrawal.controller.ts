import { Body, Controller, Inject, Post, Req, Res } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { z } from 'zod';
import { mountPrefix } from '../../platform/http/mounts.js';
import { RequestWithdrawalCommand } from '../handlers/request-withdrawal.js';
import { ApiCommand } from './api-docs.js';
import { CommandEndpoint } from './command-endpoint.js';
import { requestWithdrawalAnswer, requestWithdrawalBody } from './schemas.js';

@ApiTags('withdrawals')
@Controller()
export class RequestWithdrawalController {
  constructor(@Inject(CommandEndpoint) private readonly endpoint: CommandEndpoint) {}

  @Post('/v1/withdrawals')
  @ApiCommand({
    summary: 'Ask for a withdrawal',
    description:
      'Sets the amount, and the most that the fee may be, aside. From here on it is paid once, cancelled, or given up by a person.',
    body: requestWithdrawalBody,
    success: {
      status: 202,
      description: 'The money is set aside; the payment will be made',
      schema: requestWithdrawalAnswer,
      headers: { Location: { description: 'Where the withdrawal is read', schema: { type: 'string' } } },
    },
    problems: [
      'account-not-found',
      'wallet-not-found',
      'wallet-not-chosen',
      'wallet-has-no-descriptor',
      'withdrawal-exists',
      'address-invalid',
      'amount-invalid',
      'amount-dust',
      'amount-too-large',
      'insufficient-funds',
      'ledger-behind',
    ],
  })
  async requestWithdrawal(
    @Body({ schema: requestWithdrawalBody }) body: z.output<typeof requestWithdrawalBody>,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<object> {
    const { withdrawalId, accountId, walletId, address, amountSats, maxFeeSats, confirmationTarget } = body;
    const input = { withdrawalId, accountId, walletId, address, amountSats, maxFeeSats, confirmationTarget };
    const answer = await this.endpoint.run(request, reply, (context) => new RequestWithdrawalCommand(context, input));
    void reply.header(
      'location',
      `${mountPrefix(request.raw)}/v1/withdrawals/${encodeURIComponent(String(answer['withdrawalId']))}`,
    );
    return answer;
  }
}
