import { Body, Controller, Inject, Param, Post, Req, Res } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { z } from 'zod';
import { idSchema } from '../../domain/primitives.js';
import { WatchScriptCommand } from '../handlers/watch-script.js';
import { ApiCommand } from './api-docs.js';
import { CommandEndpoint } from './command-endpoint.js';
import { watchScriptAnswer, watchScriptBody } from './schemas.js';

@ApiTags('wallets')
@Controller()
export class WatchScriptController {
  constructor(@Inject(CommandEndpoint) private readonly endpoint: CommandEndpoint) {}

  @Post('/v1/wallets/:walletId/scripts')
  @ApiCommand({
    summary: 'Watch a script by hand',
    description: 'Any script, given in hex or as an address. Who watches a script first takes its deposits.',
    body: watchScriptBody,
    params: { walletId: idSchema },
    success: { status: 201, description: 'The script is watched', schema: watchScriptAnswer },
    problems: [
      'wallet-not-found',
      'account-not-found',
      'script-already-watched',
      'script-invalid',
      'address-invalid',
      'ledger-behind',
    ],
  })
  watchScript(
    @Param('walletId', { schema: idSchema }) walletId: string,
    @Body({ schema: watchScriptBody }) body: z.output<typeof watchScriptBody>,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<object> {
    const { script, address, accountId = null } = body;
    const input = { walletId, accountId, script, address };
    return this.endpoint.run(request, reply, (context) => new WatchScriptCommand(context, input));
  }
}
