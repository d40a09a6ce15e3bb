import { Inject } from '@nestjs/common';
import { CommandHandler, type ICommandHandler } from '@nestjs/cqrs';
import { accountStream } from '../../domain/account/account-state.js';
import { sendTransfer, type SendTransfer, type TransferFacts } from '../../domain/account/send-transfer.js';
import { deterministicUuid } from '../../domain/event-id.js';
import { transferEventId } from '../../domain/new-event.js';
import { isRejection } from '../../domain/rejection.js';
import type { CommandContext } from '../command-context.js';
import { COMMAND_PARTS, type CommandParts } from '../command-parts.js';
import type { CommandOutcome, CommandScope } from '../run-command.js';
import type { DecideResult } from '../stream-decider.js';

export interface SendTransferInput extends Omit<SendTransfer, 'transferId'> {
  transferId: string | undefined;
}

export class SendTransferCommand {
  constructor(
    readonly context: CommandContext,
    readonly input: SendTransferInput,
  ) {}
}

interface Facts extends TransferFacts {
  /** Events of the stream that the look-up of the transfer id covers. */
  lookedUpEvents: number;
}

type Result = DecideResult<Readonly<Record<string, unknown>>>;

@CommandHandler(SendTransferCommand)
export class SendTransferHandler implements ICommandHandler<SendTransferCommand, CommandOutcome> {
  constructor(@Inject(COMMAND_PARTS) private readonly parts: CommandParts) {}

  execute({ context, input }: SendTransferCommand): Promise<CommandOutcome> {
    const { runner, ledger } = this.parts;
    const isGenerated = input.transferId === undefined;
    // From the key, so that the same request gets the same id again.
    const transferId = input.transferId ?? deterministicUuid(ledger, 'transfer-id', context.idempotencyKey);
    const transfer: SendTransfer = { ...input, transferId };
    const stream = accountStream(input.fromAccountId);
    return runner.run(context, { name: 'send-transfer', input: { ...input }, status: 201 }, stream, async (scope) => {
      const first = await this.#decide(transfer, isGenerated, stream, scope);
      if (first.kind !== 'rejected' || first.rejection.rejected !== 'insufficient-funds') return first;
      // The credits were read from a model that may be behind: before it says no, it has to know everything.
      await this.parts.reads.catchUp();
      return await this.#decide(transfer, isGenerated, stream, scope);
    });
  }

  #decide(transfer: SendTransfer, isGenerated: boolean, stream: string, scope: CommandScope): Promise<Result> {
    const { accounts } = this.parts;
    return accounts.run<Facts, Readonly<Record<string, unknown>>>({
      stream,
      prepare: ({ committed }) => this.#facts(transfer, isGenerated, committed.events),
      decide: (state, facts) => {
        // What the stream has forgotten of its transfer ids must lie before what was looked up.
        if (!isGenerated && facts.lookedUpEvents < state.recentTransfers.since) return 'again';
        const events = sendTransfer(transfer, state, facts);
        return isRejection(events) ? events : { events, detail: bodyOf(transfer) };
      },
      toAppend: ({ events, detail }) => scope.toAppend(events, detail),
    });
  }

  async #facts(transfer: SendTransfer, isGenerated: boolean, lookedUpEvents: number): Promise<Facts> {
    const { reads, knownAccounts, ledger } = this.parts;
    const { transferId, fromAccountId, toAccountId } = transfer;
    const [creditsSats, recipientExists, transferExists] = await Promise.all([
      reads.creditsSats(fromAccountId),
      knownAccounts.exists(toAccountId),
      // An id made from an idempotency key is as unique as the key.
      isGenerated ? false : reads.eventExists(transferEventId(ledger, fromAccountId, transferId)),
    ]);
    return { creditsSats, recipientExists, transferExists, lookedUpEvents };
  }
}

function bodyOf({
  transferId,
  fromAccountId,
  toAccountId,
  amountSats,
}: SendTransfer): Readonly<Record<string, unknown>> {
  return { transferId, fromAccountId, toAccountId, amountSats: amountSats.toString() };
}
