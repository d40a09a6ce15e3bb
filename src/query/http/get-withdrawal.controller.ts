import { Controller, Get, Inject, Param, Query, Req, Res } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { hashSchema, idSchema, satsSchema } from '../../domain/primitives.js';
import { ProblemError } from '../../platform/http/problem.js';
import { loadSigned, loadWithdrawal } from '../graphql/resolvers/load-payments.js';
import { WITHDRAWAL_STATUSES } from '../overdue.js';
import { ApiRead } from './api-read.js';
import { asOfOf, asOfQuery } from './as-of-query.js';
import { ReadEndpoint } from './read-endpoint.js';

const withdrawalAnswer = z.object({
  withdrawalId: idSchema,
  accountId: idSchema,
  walletId: idSchema,
  address: z.string(),
  amountSats: satsSchema,
  maxFeeSats: satsSchema.nullable(),
  feeSats: satsSchema.nullable(),
  confirmationTarget: z.int(),
  status: z.enum(WITHDRAWAL_STATUSES),
  statusSince: z.iso.datetime(),
  overdueSince: z.iso.datetime().nullable(),
  requestedAt: z.iso.datetime(),
  payoutId: idSchema.nullable(),
  txid: hashSchema.nullable(),
  candidates: z.array(hashSchema),
  confirmations: z.int(),
  blockHash: hashSchema.nullable(),
  reason: z.string().nullable(),
  detail: z.string().nullable(),
});

@ApiTags('withdrawals')
@Controller()
export class GetWithdrawalController {
  constructor(@Inject(ReadEndpoint) private readonly endpoint: ReadEndpoint) {}

  @Get('/v1/withdrawals/:withdrawalId')
  @ApiRead({
    summary: 'A withdrawal and where it stands',
    id: 'withdrawalId',
    answer: withdrawalAnswer,
    notFound: 'withdrawal-not-found',
  })
  getWithdrawal(
    @Param('withdrawalId', { schema: idSchema }) withdrawalId: string,
    @Query({ schema: asOfQuery }) query: z.output<typeof asOfQuery>,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<object | undefined> {
    const asked = { models: ['payouts', 'transfers', 'blocks'], asOf: asOfOf(query) };
    return this.endpoint.answer(request, reply, asked, async (view) => {
      const found = await loadWithdrawal(view, withdrawalId);
      if (found === undefined) {
        throw new ProblemError('withdrawal-not-found', `There is no withdrawal ${withdrawalId} at this moment.`, {
          headers: { 'ledger-position': String(view.at.position) },
        });
      }
      const signed = found.paidBy === null ? [] : await loadSigned(view, found.paidBy);
      return {
        withdrawalId: found.withdrawalId,
        accountId: found.accountId,
        walletId: found.walletId,
        address: found.address,
        amountSats: String(found.amountSats),
        maxFeeSats: found.maxFeeSats === null ? null : String(found.maxFeeSats),
        feeSats: found.feeSats === null ? null : String(found.feeSats),
        confirmationTarget: found.confirmationTarget,
        status: found.status,
        statusSince: found.statusSince.toISOString(),
        overdueSince: found.overdueSince?.toISOString() ?? null,
        requestedAt: found.requestedAt.toISOString(),
        payoutId: found.payoutId,
        txid: found.txid,
        candidates: signed.filter(({ kind, isVoid }) => kind === 'payment' && !isVoid).map(({ txid }) => txid),
        confirmations: found.confirmations,
        blockHash: found.blockHash,
        reason: found.reason,
        detail: found.detail,
      };
    });
  }
}
