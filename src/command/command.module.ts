import { Module, type DynamicModule } from '@nestjs/common';
import { CqrsModule } from '@nestjs/cqrs';
import type { PushedBlocks } from '../bitcoin/push/pushed-blocks.js';
import { COMMAND_PARTS, createCommandParts, type CommandParts, type CommandPartsOptions } from './command-parts.js';
import { AcceptSignedHandler } from './handlers/accept-signed.js';
import { BumpWithdrawalHandler } from './handlers/bump-withdrawal.js';
import { CancelWithdrawalHandler } from './handlers/cancel-withdrawal.js';
import { CreateWalletHandler } from './handlers/create-wallet.js';
import { IssueAddressHandler } from './handlers/issue-address.js';
import { OpenAccountHandler } from './handlers/open-account.js';
import { RequestWithdrawalHandler } from './handlers/request-withdrawal.js';
import { ResolvePayoutHandler } from './handlers/resolve-payout.js';
import { SendTransferHandler } from './handlers/send-transfer.js';
import { WatchScriptHandler } from './handlers/watch-script.js';
import { AcceptSignedController } from './http/accept-signed.controller.js';
import { BumpWithdrawalController } from './http/bump-withdrawal.controller.js';
import { CancelWithdrawalController } from './http/cancel-withdrawal.controller.js';
import { CommandEndpoint } from './http/command-endpoint.js';
import { CreateWalletController } from './http/create-wallet.controller.js';
import { DEV_CHAIN } from './http/dev-chain.js';
import { DevMineController } from './http/dev-mine.controller.js';
import { DevPayController } from './http/dev-pay.controller.js';
import { DevReorgController } from './http/dev-reorg.controller.js';
import { FetchPsbtController } from './http/fetch-psbt.controller.js';
import { IssueAddressController } from './http/issue-address.controller.js';
import { OpenAccountController } from './http/open-account.controller.js';
import { PUSHED_BLOCKS, PushBlockController } from './http/push-block.controller.js';
import { RequestWithdrawalController } from './http/request-withdrawal.controller.js';
import { ResolvePayoutController } from './http/resolve-payout.controller.js';
import { SendTransferController } from './http/send-transfer.controller.js';
import { WatchScriptController } from './http/watch-script.controller.js';
import type { DevChain } from './ports.js';

export interface CommandModuleOptions extends CommandPartsOptions {
  /** Where the workflow of this process uses them too; else they are made of the other options. */
  parts?: CommandParts;
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
  RequestWithdrawalHandler,
  CancelWithdrawalHandler,
  BumpWithdrawalHandler,
  AcceptSignedHandler,
  ResolvePayoutHandler,
];

const CONTROLLERS = [
  OpenAccountController,
  CreateWalletController,
  IssueAddressController,
  WatchScriptController,
  SendTransferController,
  RequestWithdrawalController,
  CancelWithdrawalController,
  BumpWithdrawalController,
  FetchPsbtController,
  AcceptSignedController,
  ResolvePayoutController,
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
        { provide: COMMAND_PARTS, useFactory: () => options.parts ?? createCommandParts(options) },
        { provide: PUSHED_BLOCKS, useValue: pushedBlocks ?? null },
        ...(devChain === undefined ? [] : [{ provide: DEV_CHAIN, useValue: devChain }]),
        CommandEndpoint,
        ...HANDLERS,
      ],
    };
  }
}
