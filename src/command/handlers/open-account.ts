import { Inject } from '@nestjs/common';
import { CommandHandler, type ICommandHandler } from '@nestjs/cqrs';
import { accountStream } from '../../domain/account/account-state.js';
import { openAccount, type OpenAccount } from '../../domain/account/open-account.js';
import { isRejection } from '../../domain/rejection.js';
import type { CommandContext } from '../command-context.js';
import { COMMAND_PARTS, type CommandParts } from '../command-parts.js';
import type { CommandOutcome } from '../run-command.js';

export class OpenAccountCommand {
  constructor(
    readonly context: CommandContext,
    readonly input: OpenAccount,
  ) {}
}

@CommandHandler(OpenAccountCommand)
export class OpenAccountHandler implements ICommandHandler<OpenAccountCommand, CommandOutcome> {
  constructor(@Inject(COMMAND_PARTS) private readonly parts: CommandParts) {}

  async execute({ context, input }: OpenAccountCommand): Promise<CommandOutcome> {
    const { runner, accounts, knownAccounts } = this.parts;
    const stream = accountStream(input.accountId);
    const outcome = await runner.run(
      context,
      { name: 'open-account', input: { ...input }, status: 201 },
      stream,
      (scope) =>
        accounts.run({
          stream,
          prepare: () => Promise.resolve(undefined),
          decide: (state) => {
            const events = openAccount(input, state);
            return isRejection(events) ? events : { events, detail: { accountId: input.accountId } };
          },
          toAppend: ({ events, detail }) => scope.toAppend(events, detail),
        }),
    );
    if (outcome.kind === 'done') knownAccounts.add(input.accountId);
    return outcome;
  }
}
