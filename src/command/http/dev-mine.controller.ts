import { Body, Controller, HttpCode, Inject, Post } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { z } from 'zod';
import type { DevChain } from '../ports.js';
import { ApiEndpoint } from './api-docs.js';
import { DEV_CHAIN, unlessRefused } from './dev-chain.js';
import { devMineAnswer, devMineBody } from './schemas.js';

@ApiTags('dev')
@Controller()
export class DevMineController {
  constructor(@Inject(DEV_CHAIN) private readonly chain: DevChain) {}

  @Post('/dev/chain/mine')
  @HttpCode(200)
  @ApiEndpoint({
    summary: 'Mine blocks on the built-in chain',
    body: devMineBody,
    success: { status: 200, description: 'Hashes of the new blocks, oldest first', schema: devMineAnswer },
    problems: ['address-invalid', 'dev-chain-refused'],
    hasPosition: false,
  })
  async mine(@Body({ schema: devMineBody }) { blocks, address }: z.output<typeof devMineBody>): Promise<object> {
    const { hashes } = unlessRefused(await this.chain.mine({ blocks, ...(address === undefined ? {} : { address }) }));
    return { hashes };
  }
}
