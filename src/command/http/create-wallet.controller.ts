import { Body, Controller, Inject, Post, Req, Res } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { z } from 'zod';
import { CreateWalletCommand } from '../handlers/create-wallet.js';
import { ApiCommand } from './api-docs.js';
import { CommandEndpoint } from './command-endpoint.js';
import { createWalletAnswer, createWalletBody } from './schemas.js';

@ApiTags('wallets')
@Controller()
export class CreateWalletController {
  constructor(@Inject(CommandEndpoint) private readonly endpoint: CommandEndpoint) {}

  @Post('/v1/wallets')
  @ApiCommand({
    summary: 'Create a wallet',
    description:
      'Watches the addresses of a public descriptor, or scripts by hand where there is none. Signer `local` makes and keeps the keys itself, on regtest and signet only; a private key in a descriptor is refused and kept nowhere.',
    body: createWalletBody,
    success: { status: 201, description: 'The wallet is there', schema: createWalletAnswer },
    problems: ['wallet-exists', 'descriptor-invalid', 'descriptor-in-use', 'signer-not-allowed', 'ledger-behind'],
  })
  createWallet(
    @Body({ schema: createWalletBody }) body: z.output<typeof createWalletBody>,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<object> {
    const { walletId, descriptor, changeDescriptor, gapLimit, signer } = body;
    const input = { walletId, descriptor, changeDescriptor, gapLimit, signer };
    return this.endpoint.run(request, reply, (context) => new CreateWalletCommand(context, input));
  }
}
