import { Controller, Get, Header, Inject, Param, Req, Res } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { signableCandidates } from '../../domain/payout/payout-candidates.js';
import { payoutStream } from '../../domain/payout/payout-state.js';
import { idSchema } from '../../domain/primitives.js';
import { ProblemError } from '../../platform/http/problem.js';
import { COMMAND_PARTS, type CommandParts } from '../command-parts.js';
import { frozenRefusal } from '../frozen-accounts.js';
import { ApiRead } from './api-docs.js';

const BINARY = 'application/octet-stream';
const TEXT = 'text/plain; charset=utf-8';

@ApiTags('payouts')
@Controller()
export class FetchPsbtController {
  constructor(@Inject(COMMAND_PARTS) private readonly parts: CommandParts) {}

  @Get('/v1/payouts/:payoutId/psbt')
  @Header('cache-control', 'no-store')
  @ApiRead({
    summary: 'The unsigned PSBT of a payout',
    description: 'BIP174, of the newest transaction that may be signed. Binary where `Accept` asks for it.',
    params: { payoutId: idSchema },
    content: { 'text/plain': 'Base64', [BINARY]: 'The bytes' },
    problems: ['payout-not-found', 'payout-not-ready', 'not-acceptable'],
  })
  async fetchPsbt(
    @Param('payoutId', { schema: idSchema }) payoutId: string,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<string | Buffer> {
    const { payouts, signing } = this.parts;
    const asBinary = wantsBinary(request.headers.accept);
    const state = await payouts.read(payoutStream(payoutId));
    if (state.started === null) throw new ProblemError('payout-not-found', `There is no payout '${payoutId}'.`);
    const [newest] = signableCandidates(state);
    if (newest === undefined || state.phase === 'halted') {
      const detail = `Payout '${payoutId}' is ${state.phase}: there is nothing to be signed.`;
      throw new ProblemError('payout-not-ready', detail);
    }
    const frozen = await frozenRefusal(this.parts, state);
    if (frozen !== undefined) throw new ProblemError('payout-not-ready', frozen.detail);
    if (signing === undefined) throw new ProblemError('unavailable', 'Nothing can be signed here.');
    const psbt = Buffer.from(await signing.buildPsbt(state, newest));
    void reply.header('content-type', asBinary ? BINARY : TEXT);
    return asBinary ? psbt : psbt.toString('base64');
  }
}

/** Text is the default; binary is for who names it (RFC 9110, 12.5.1, without weights: who names both gets text). */
function wantsBinary(accept: string | undefined): boolean {
  const types = (accept ?? '*/*').split(',').map((part) => part.split(';')[0]?.trim().toLowerCase());
  if (types.some((type) => type === '*/*' || type === 'text/*' || type === 'text/plain')) {
    // A client that names binary first and takes anything else wants binary.
    return types[0] === BINARY;
  }
  if (types.some((type) => type === BINARY || type === 'application/*')) return true;
  throw new ProblemError('not-acceptable', `A PSBT comes as text/plain (base64) or ${BINARY}.`);
}
