import { Body, Controller, Inject, Param, Post, Req, Res } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { z } from 'zod';
import { idSchema } from '../../domain/primitives.js';
import { IssueAddressCommand } from '../handlers/issue-address.js';
import { ApiCommand } from './api-docs.js';
import { CommandEndpoint } from './command-endpoint.js';
import { issueAddressAnswer, issueAddressBody } from './schemas.js';

@ApiTags('wallets')
@Controller()
export class IssueAddressController {
  constructor(@Inject(CommandEndpoint) private readonly endpoint: CommandEndpoint) {}

  @Post('/v1/wallets/:walletId/addresses')
  @ApiCommand({
    summary: "Hand out the wallet's next address",
    description: 'Deposits to it are taken by the account, or by the house where none is named.',
    body: issueAddressBody,
    params: { walletId: idSchema },
    success: { status: 201, description: 'The address is watched and handed out', schema: issueAddressAnswer },
    problems: ['wallet-not-found', 'account-not-found', 'wallet-has-no-descriptor', 'ledger-behind'],
  })
  issueAddress(
    @Param('walletId', { schema: idSchema }) walletId: string,
    @Body({ schema: issueAddressBody }) body: z.output<typeof issueAddressBody>,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<object> {
    const input = { walletId, accountId: body.accountId ?? null };
    return this.endpoint.run(request, reply, (context) => new IssueAddressCommand(context, input));
  }
}
