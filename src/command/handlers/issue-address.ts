import { Inject } from '@nestjs/common';
import { CommandHandler, type ICommandHandler } from '@nestjs/cqrs';
import { isRejection } from '../../domain/rejection.js';
import { issueAddress, type DerivedAddress, type IssueAddress } from '../../domain/wallet/issue-address.js';
import { walletStream, type WalletState } from '../../domain/wallet/wallet-state.js';
import { invariant } from '../../platform/assert.js';
import type { CommandContext } from '../command-context.js';
import { COMMAND_PARTS, type CommandParts } from '../command-parts.js';
import type { CommandOutcome } from '../run-command.js';

/** Addresses looked up before the first attempt; four times as many with each further one, because others take them. */
const FIRST_WINDOW = 4;
const MAX_WINDOW = 1_024;

export class IssueAddressCommand {
  constructor(
    readonly context: CommandContext,
    readonly input: IssueAddress,
  ) {}
}

interface Facts {
  accountExists: boolean;
  derive: (index: number) => DerivedAddress;
  isTaken: (script: string) => boolean | undefined;
}

@CommandHandler(IssueAddressCommand)
export class IssueAddressHandler implements ICommandHandler<IssueAddressCommand, CommandOutcome> {
  constructor(@Inject(COMMAND_PARTS) private readonly parts: CommandParts) {}

  execute({ context, input }: IssueAddressCommand): Promise<CommandOutcome> {
    const { runner, wallets } = this.parts;
    const stream = walletStream(input.walletId);
    return runner.run(context, { name: 'issue-address', input: { ...input }, status: 201 }, stream, (scope) =>
      wallets.run<Facts, Readonly<Record<string, unknown>>>({
        stream,
        prepare: ({ newest }, attempt) => this.#facts(input, newest, attempt),
        decide: (state, facts) => {
          const events = issueAddress(input, state, facts);
          if ('needsLookupFrom' in events) return 'again';
          if (isRejection(events)) return events;
          const [event] = events;
          invariant(event?.type === 'AddressIssued', 'an address is issued by one event');
          const { address, index, script } = event.data;
          return { events, detail: { address, index, script } };
        },
        toAppend: ({ events, detail }) => scope.toAppend(events, detail),
      }),
    );
  }

  async #facts(input: IssueAddress, state: WalletState, attempt: number): Promise<Facts> {
    const { knownAccounts, reads } = this.parts;
    const accountExists = input.accountId === null || (await knownAccounts.exists(input.accountId));
    const descriptor = state.created?.descriptor ?? null;
    if (!accountExists || descriptor === null) return { accountExists, derive: noDescriptor, isTaken: () => undefined };
    const derive = (index: number): DerivedAddress => this.parts.addresses.at(descriptor, index);
    const window = Math.min(FIRST_WINDOW * 4 ** (attempt - 1), MAX_WINDOW);
    const indexOf = new Map<string, number>();
    for (let index = state.nextIndex; index < state.nextIndex + window; index++)
      indexOf.set(derive(index).script, index);
    // A script may have been taken by hand a moment ago.
    await reads.catchUp();
    const owners = await reads.scriptOwners([...indexOf.keys()]);
    return {
      accountExists,
      derive,
      isTaken: (script) => {
        const index = indexOf.get(script);
        if (index === undefined) return undefined;
        const owner = owners.get(script);
        if (owner === undefined) return false;
        return owner.walletId !== input.walletId || owner.derivation?.branch !== 0 || owner.derivation.index !== index;
      },
    };
  }
}

function noDescriptor(): never {
  invariant(false, 'nothing is derived for a wallet without descriptor');
}
