import { Body, Controller, HttpCode, Inject, Post } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { z } from 'zod';
import type { DevChain } from '../ports.js';
import { ApiEndpoint } from './api-docs.js';
import { DEV_CHAIN, unlessRefused } from './dev-chain.js';
import { devReorgAnswer, devReorgBody } from './schemas.js';

@ApiTags('dev')
@Controller()
export class DevReorgController {
  constructor(@Inject(DEV_CHAIN) private readonly chain: DevChain) {}

  @Post('/dev/chain/reorg')
  @HttpCode(200)
  @ApiEndpoint({
    summary: 'Replace the last blocks of the built-in chain by a longer branch',
    body: devReorgBody,
    success: { status: 200, description: 'Hashes of the blocks that went and came', schema: devReorgAnswer },
    problems: ['dev-chain-refused'],
    hasPosition: false,
  })
  async reorg(@Body({ schema: devReorgBody }) body: z.output<typeof devReorgBody>): Promise<object> {
    const { depth, blocks, dropTransactions = false } = body;
    const { disconnected, connected } = unlessRefused(await this.chain.reorg({ depth, blocks, dropTransactions }));
    return { disconnected, connected };
  }
}
