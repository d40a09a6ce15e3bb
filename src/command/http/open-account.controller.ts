import { Body, Controller, Inject, Post, Req, Res } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { z } from 'zod';
import { OpenAccountCommand } from '../handlers/open-account.js';
import { ApiCommand } from './api-docs.js';
import { CommandEndpoint } from './command-endpoint.js';
import { openAccountAnswer, openAccountBody } from './schemas.js';

@ApiTags('accounts')
@Controller()
export class OpenAccountController {
  constructor(@Inject(CommandEndpoint) private readonly endpoint: CommandEndpoint) {}

  @Post('/v1/accounts')
  @ApiCommand({
    summary: 'Open an account',
    body: openAccountBody,
    success: { status: 201, description: 'The account is open', schema: openAccountAnswer },
    problems: ['account-exists'],
  })
  openAccount(
    @Body({ schema: openAccountBody }) body: z.output<typeof openAccountBody>,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<object> {
    const { accountId, metadata = {} } = body;
    return this.endpoint.run(request, reply, (context) => new OpenAccountCommand(context, { accountId, metadata }));
  }
}
