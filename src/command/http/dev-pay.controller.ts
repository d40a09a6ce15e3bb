import { Body, Controller, HttpCode, Inject, Post } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { z } from 'zod';
import type { DevChain } from '../ports.js';
import { ApiEndpoint } from './api-docs.js';
import { DEV_CHAIN, unlessRefused } from './dev-chain.js';
import { devPayAnswer, devPayBody } from './schemas.js';

@ApiTags('dev')
@Controller()
export class DevPayController {
  constructor(@Inject(DEV_CHAIN) private readonly chain: DevChain) {}

  @Post('/dev/chain/pay')
  @HttpCode(200)
  @ApiEndpoint({
    summary: 'Pay an address from the built-in miner',
    description: 'A real transaction in the built-in mempool; the next block mined holds it.',
    body: devPayBody,
    success: { status: 200, description: 'The transaction is in the mempool', schema: devPayAnswer },
    problems: ['address-invalid', 'amount-invalid', 'dev-chain-refused'],
    hasPosition: false,
  })
  async pay(@Body({ schema: devPayBody }) { address, amountSats }: z.output<typeof devPayBody>): Promise<object> {
    const { txid } = unlessRefused(await this.chain.pay({ address, amountSats }));
    return { txid };
  }
}
