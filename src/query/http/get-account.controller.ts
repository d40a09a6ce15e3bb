import { Controller, Get, Inject, Param, Query, Req, Res } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { idSchema } from '../../domain/primitives.js';
import { ProblemError } from '../../platform/http/problem.js';
import { loadAccount } from '../graphql/resolvers/account.js';
import { ApiRead } from './api-read.js';
import { asOfOf, asOfQuery } from './as-of-query.js';
import { ReadEndpoint } from './read-endpoint.js';

const sats = z.string().regex(/^(0|-?[1-9][0-9]{0,15})$/);

const accountAnswer = z.object({
  accountId: idSchema,
  openedAt: z.iso.datetime(),
  metadata: z.record(z.string(), z.unknown()),
  availableSats: sats,
  reservedSats: sats,
  pendingSats: sats,
  frozen: z.boolean(),
});

@ApiTags('accounts')
@Controller()
export class GetAccountController {
  constructor(@Inject(ReadEndpoint) private readonly endpoint: ReadEndpoint) {}

  @Get('/v1/accounts/:accountId')
  @ApiRead({
    summary: 'An account and its balances',
    id: 'accountId',
    answer: accountAnswer,
    notFound: 'account-not-found',
  })
  getAccount(
    @Param('accountId', { schema: idSchema }) accountId: string,
    @Query({ schema: asOfQuery }) query: z.output<typeof asOfQuery>,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<object | undefined> {
    const asked = { models: ['accounts', 'blocks'], asOf: asOfOf(query) };
    return this.endpoint.answer(request, reply, asked, async (view) => {
      const account = await loadAccount(view, accountId);
      if (account === undefined) {
        throw new ProblemError('account-not-found', `There is no account ${accountId} at this moment.`, {
          headers: { 'ledger-position': String(view.at.position) },
        });
      }
      return {
        accountId: account.accountId,
        openedAt: account.openedAt.toISOString(),
        metadata: account.metadata,
        availableSats: String(account.availableSats),
        reservedSats: String(account.reservedSats),
        pendingSats: String(account.pendingSats),
        frozen: account.frozen,
      };
    });
  }
}
