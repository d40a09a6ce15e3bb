import { Body, Controller, Inject, Post, Req, Res } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { z } from 'zod';
import { SendTransferCommand } from '../handlers/send-transfer.js';
import { ApiCommand } from './api-docs.js';
import { CommandEndpoint } from './command-endpoint.js';
import { sendTransferAnswer, sendTransferBody } from './schemas.js';

@ApiTags('transfers')
@Controller()
export class SendTransferController {
  constructor(@Inject(CommandEndpoint) private readonly endpoint: CommandEndpoint) {}

  @Post('/v1/transfers')
  @ApiCommand({
    summary: 'Move money between two accounts',
    description: 'In the books only; nothing happens on the chain. A transferId can be used once per sender.',
    body: sendTransferBody,
    success: { status: 201, description: 'The money has moved', schema: sendTransferAnswer },
    problems: [
      'account-not-found',
      'transfer-exists',
      'transfer-to-self',
      'amount-invalid',
      'insufficient-funds',
      'ledger-behind',
    ],
  })
  sendTransfer(
    @Body({ schema: sendTransferBody }) body: z.output<typeof sendTransferBody>,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<object> {
    const { transferId, fromAccountId, toAccountId, amountSats } = body;
    const input = { transferId, fromAccountId, toAccountId, amountSats };
    return this.endpoint.run(request, reply, (context) => new SendTransferCommand(context, input));
  }
}
