import { Controller, Get, Inject, Param, Query, Req, Res } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { idSchema, networkSchema, satsSchema } from '../../domain/primitives.js';
import { ProblemError } from '../../platform/http/problem.js';
import { loadReserved, loadUnconfirmed, loadWallet } from '../graphql/resolvers/wallet.js';
import { ApiRead } from './api-read.js';
import { asOfOf, asOfQuery } from './as-of-query.js';
import { ReadEndpoint } from './read-endpoint.js';

const walletAnswer = z.object({
  walletId: idSchema,
  openedAt: z.iso.datetime(),
  network: networkSchema,
  descriptor: z.string().nullable(),
  changeDescriptor: z.string().nullable(),
  signer: z.string(),
  confirmedSats: satsSchema,
  unconfirmedSats: satsSchema,
  immatureSats: satsSchema,
  reservedSats: satsSchema,
});

@ApiTags('wallets')
@Controller()
export class GetWalletController {
  constructor(@Inject(ReadEndpoint) private readonly endpoint: ReadEndpoint) {}

  @Get('/v1/wallets/:walletId')
  @ApiRead({
    summary: 'A wallet and what it holds',
    id: 'walletId',
    answer: walletAnswer,
    notFound: 'wallet-not-found',
  })
  getWallet(
    @Param('walletId', { schema: idSchema }) walletId: string,
    @Query({ schema: asOfQuery }) query: z.output<typeof asOfQuery>,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<object | undefined> {
    const asked = { models: ['wallets', 'transfers', 'payouts', 'blocks'], asOf: asOfOf(query) };
    return this.endpoint.answer(request, reply, asked, async (view) => {
      const [wallet, unconfirmedSats, reservedSats] = await Promise.all([
        loadWallet(view, walletId),
        loadUnconfirmed(view, walletId),
        loadReserved(view, walletId),
      ]);
      if (wallet === undefined) {
        throw new ProblemError('wallet-not-found', `There is no wallet ${walletId} at this moment.`, {
          headers: { 'ledger-position': String(view.at.position) },
        });
      }
      return {
        walletId: wallet.walletId,
        openedAt: wallet.openedAt.toISOString(),
        network: wallet.network,
        descriptor: wallet.descriptor,
        changeDescriptor: wallet.changeDescriptor,
        signer: wallet.signer,
        confirmedSats: String(wallet.confirmedSats),
        unconfirmedSats: String(unconfirmedSats),
        immatureSats: String(wallet.immatureSats),
        reservedSats: String(reservedSats),
      };
    });
  }
}
