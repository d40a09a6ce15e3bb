import { Controller, Get, Inject, Param, Query, Req, Res } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { hashSchema, idSchema, satsSchema } from '../../domain/primitives.js';
import { ProblemError } from '../../platform/http/problem.js';
import { loadPayout, loadSigned } from '../graphql/resolvers/load-payments.js';
import { listMembers } from '../sql/list-candidates.js';
import { PAYOUT_STATUSES } from '../sql/payout-status.js';
import { ApiRead } from './api-read.js';
import { asOfOf, asOfQuery } from './as-of-query.js';
import { ReadEndpoint } from './read-endpoint.js';

const signedSats = z.string().regex(/^(0|-?[1-9][0-9]{0,15})$/);

const payoutAnswer = z.object({
  payoutId: idSchema,
  walletId: idSchema,
  signer: z.string(),
  status: z.enum(PAYOUT_STATUSES),
  statusSince: z.iso.datetime().nullable(),
  startedAt: z.iso.datetime(),
  confirmationTarget: z.int(),
  completeAt: z.int(),
  finalAt: z.int(),
  txid: hashSchema.nullable(),
  confirmations: z.int(),
  blockHash: hashSchema.nullable(),
  withdrawals: z.array(idSchema),
  transactions: z.array(
    z.object({
      txid: hashSchema,
      candidate: z.int(),
      kind: z.string(),
      feeSats: satsSchema,
      weight: z.int(),
      answer: z.string().nullable(),
    }),
  ),
  feeSats: satsSchema.nullable(),
  houseFeeSats: satsSchema.nullable(),
  extraFeeSats: signedSats.nullable(),
  waitReason: z.string().nullable(),
  waitDetail: z.string().nullable(),
  halt: z
    .object({ at: z.iso.datetime(), outpoint: z.string(), byTxid: hashSchema, blockHash: hashSchema, height: z.int() })
    .nullable(),
});

@ApiTags('payouts')
@Controller()
export class GetPayoutController {
  constructor(@Inject(ReadEndpoint) private readonly endpoint: ReadEndpoint) {}

  @Get('/v1/payouts/:payoutId')
  @ApiRead({
    summary: 'A payout, its transactions and where it stands',
    id: 'payoutId',
    answer: payoutAnswer,
    notFound: 'payout-not-found',
  })
  getPayout(
    @Param('payoutId', { schema: idSchema }) payoutId: string,
    @Query({ schema: asOfQuery }) query: z.output<typeof asOfQuery>,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<object | undefined> {
    const asked = { models: ['payouts', 'transfers', 'blocks'], asOf: asOfOf(query) };
    return this.endpoint.answer(request, reply, asked, async (view) => {
      const [found, signed, members] = await Promise.all([
        loadPayout(view, payoutId),
        loadSigned(view, payoutId),
        listMembers(view.database, view.at, [payoutId]),
      ]);
      if (found === undefined) {
        throw new ProblemError('payout-not-found', `There is no payout ${payoutId} at this moment.`, {
          headers: { 'ledger-position': String(view.at.position) },
        });
      }
      const { halt } = found;
      return {
        payoutId: found.payoutId,
        walletId: found.walletId,
        signer: found.signer,
        status: found.status,
        statusSince: found.statusSince?.toISOString() ?? null,
        startedAt: found.startedAt.toISOString(),
        confirmationTarget: found.confirmationTarget,
        completeAt: found.completeAt,
        finalAt: found.finalAt,
        txid: found.txid,
        confirmations: found.confirmations,
        blockHash: found.blockHash,
        withdrawals: members.get(payoutId) ?? [],
        transactions: signed.map(({ txid, candidate, kind, feeSats, weight, answer }) => ({
          txid,
          candidate,
          kind,
          feeSats: String(feeSats),
          weight,
          answer,
        })),
        feeSats: found.feeSats === null ? null : String(found.feeSats),
        houseFeeSats: found.houseFeeSats === null ? null : String(found.houseFeeSats),
        extraFeeSats: found.extraFeeSats === null ? null : String(found.extraFeeSats),
        waitReason: found.waitReason,
        waitDetail: found.waitDetail,
        halt: halt === null ? null : { ...halt, at: halt.at.toISOString() },
      };
    });
  }
}
