import { Module, type DynamicModule } from '@nestjs/common';
import { CqrsModule } from '@nestjs/cqrs';
import type { PushedBlocks } from '../bitcoin/push/pushed-blocks.js';
import { COMMAND_PARTS, createCommandParts, type CommandPartsOptions } from './command-parts.js';
import { CreateWalletHandler } from './handlers/create-wallet.js';
import { IssueAddressHandler } from './handlers/issue-address.js';
import { OpenAccountHandler } from './handlers/open-account.js';
import { SendTransferHandler } from './handlers/send-transfer.js';
import { WatchScriptHandler } from './handlers/watch-script.js';
import { CommandEndpoint } from './http/command-endpoint.js';
import { CreateWalletController } from './http/create-wallet.controller.js';
import { DEV_CHAIN } from './http/dev-chain.js';
import { DevMineController } from './http/dev-mine.controller.js';
import { DevPayController } from './http/dev-pay.controller.js';
import { DevReorgController } from './http/dev-reorg.controller.js';
import { IssueAddressController } from './http/issue-address.controller.js';
import { OpenAccountController } from './http/open-account.controller.js';
import { PUSHED_BLOCKS, PushBlockController } from './http/push-block.controller.js';
import { SendTransferController } from './http/send-transfer.controller.js';
import { WatchScriptController } from './http/watch-script.controller.js';
import type { DevChain } from './ports.js';

export interface CommandModuleOptions extends CommandPartsOptions {
  /** Undefined where blocks come from elsewhere. */
  pushedBlocks: PushedBlocks | undefined;
  /** Undefined without the built-in chain: its addresses do not exist then. */
  devChain: DevChain | undefined;
}

const HANDLERS = [
  OpenAccountHandler,
  CreateWalletHandler,
  IssueAddressHandler,
  WatchScriptHandler,
  SendTransferHandler,
];

const CONTROLLERS = [
  OpenAccountController,
  CreateWalletController,
  IssueAddressController,
  WatchScriptController,
  SendTransferController,
  PushBlockController,
];

const DEV_CONTROLLERS = [DevMineController, DevPayController, DevReorgController];

/** The command side: REST endpoints, the bus, handlers, and what they decide with. */
@Module({})
export class CommandModule {
  static register(options: CommandModuleOptions): DynamicModule {
    const { pushedBlocks, devChain } = options;
    return {
      module: CommandModule,
      imports: [CqrsModule.forRoot()],
      controllers: [...CONTROLLERS, ...(devChain === undefined ? [] : DEV_CONTROLLERS)],
      providers: [
        { provide: COMMAND_PARTS, useFactory: () => createCommandParts(options) },
        { provide: PUSHED_BLOCKS, useValue: pushedBlocks ?? null },
        ...(devChain === undefined ? [] : [{ provide: DEV_CHAIN, useValue: devChain }]),
        CommandEndpoint,
        ...HANDLERS,
      ],
    };
  }
}
