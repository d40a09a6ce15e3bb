import { Inject } from '@nestjs/common';
import { CommandHandler, type ICommandHandler } from '@nestjs/cqrs';
import { withdrawalEndEventId } from '../../domain/new-event.js';
import { payoutStream } from '../../domain/payout/payout-state.js';
import { removeWithdrawal } from '../../domain/payout/remove-withdrawal.js';
import { isRejection, type Rejection } from '../../domain/rejection.js';
import { cancelWithdrawal } from '../../domain/withdrawal/cancel-withdrawal.js';
import { withdrawalStream } from '../../domain/withdrawal/withdrawal-state.js';
import { invariant } from '../../platform/assert.js';
import { BusyError } from '../../platform/errors.js';
import type { CommandContext } from '../command-context.js';
import { COMMAND_PARTS, type CommandParts } from '../command-parts.js';
import { createLedgerCommands, type LedgerCommands } from '../ledger-commands.js';
import { takeWhatWasSent } from '../take-what-was-sent.js';
import { requestedWithdrawal } from '../requested-withdrawal.js';
import type { CommandOutcome, CommandScope } from '../run-command.js';
import type { DecideResult } from '../stream-decider.js';

/** It goes from waiting to assigned once, and from assigned to removed once: three looks see where it is. */
const MAX_LOOKS = 4;

export interface CancelWithdrawalInput {
  withdrawalId: string;
  reason: string | null;
}

export class CancelWithdrawalCommand {
  constructor(
    readonly context: CommandContext,
    readonly input: CancelWithdrawalInput,
  ) {}
}

type Result = DecideResult<Readonly<Record<string, unknown>>>;

/**
 * The decision is one append: on the withdrawal's stream while no payout has it, else on the payout's, against its signature. That
 * one has the idempotency key. What follows from it (the withdrawal's end, the money back) is told after it, here and, where this
 * process dies, by the workflow; both are done once. Before a payout lets go of it the node is asked whether a signer has sent the payment
 * without bringing it back: then it is signed, and cannot be cancelled.
 */
@CommandHandler(CancelWithdrawalCommand)
export class CancelWithdrawalHandler implements ICommandHandler<CancelWithdrawalCommand, CommandOutcome> {
  readonly #commands: LedgerCommands;

  constructor(@Inject(COMMAND_PARTS) private readonly parts: CommandParts) {
    this.#commands = createLedgerCommands(parts);
  }

  async execute({ context, input }: CancelWithdrawalCommand): Promise<CommandOutcome> {
    const stream = withdrawalStream(input.withdrawalId);
    const request = { name: 'cancel-withdrawal', input: { ...input }, status: 202 as const };
    const outcome = await this.parts.runner.run(context, request, stream, async (scope): Promise<Result> => {
      const requested = await requestedWithdrawal(this.parts, input.withdrawalId);
      if (isRejection(requested)) return rejected(requested);
      return await this.#cancel({ ...input, accountId: requested.accountId }, stream, scope);
    });
    if (outcome.kind !== 'done') return outcome;
    return { ...outcome, position: await this.#finish(context, input) };
  }

  async #cancel(
    command: CancelWithdrawalInput & { accountId: string },
    stream: string,
    scope: CommandScope,
  ): Promise<Result> {
    const { withdrawalId } = command;
    const body = { withdrawalId, status: 'cancelled' };
    for (let look = 1; look <= MAX_LOOKS; look++) {
      const { phase, payoutId } = await this.parts.withdrawals.read(stream);
      const isRemoved = payoutId !== null && (await this.#isRemoved(payoutId, withdrawalId));
      if (phase === 'assigned' && payoutId !== null && !isRemoved) {
        await takeWhatWasSent(this.parts, this.#commands, payoutId);
        const result = await this.#remove({ ...command, payoutId }, body, scope);
        if (result.kind !== 'unchanged') return result;
        continue;
      }
      const result = await this.parts.withdrawals.run({
        stream,
        prepare: () => Promise.resolve(undefined),
        decide: (state) => {
          const facts = { isRemovedFrom: (id: string) => isRemoved && id === payoutId };
          const events = cancelWithdrawal(command, state, facts);
          return isRejection(events) ? events : { events, detail: body };
        },
        toAppend: ({ events, detail }) => scope.toAppend(events, detail),
      });
      // Refused although it could have been: a payout has got it meanwhile.
      const wasTaken = result.kind === 'rejected' && phase === 'waiting';
      if (!wasTaken) return result;
    }
    throw new BusyError(`withdrawal ${withdrawalId} is being moved all the time`, 1);
  }

  #remove(
    { payoutId, withdrawalId, reason }: CancelWithdrawalInput & { payoutId: string },
    body: Readonly<Record<string, unknown>>,
    scope: CommandScope,
  ): Promise<Result> {
    return this.parts.payouts.run<undefined, Readonly<Record<string, unknown>>>({
      stream: payoutStream(payoutId),
      prepare: () => Promise.resolve(undefined),
      decide: (state) => {
        const events = removeWithdrawal({ payoutId, withdrawalId, reason }, state);
        return isRejection(events) ? events : { events, detail: body };
      },
      toAppend: ({ events, detail }) => scope.toAppend(events, detail),
    });
  }

  async #isRemoved(payoutId: string, withdrawalId: string): Promise<boolean> {
    return (await this.parts.payouts.read(payoutStream(payoutId))).removed.includes(withdrawalId);
  }

  /** What follows from the decision. Answers the position of the last event of it: the same each time. */
  async #finish(context: CommandContext, { withdrawalId, reason }: CancelWithdrawalInput): Promise<bigint> {
    const { correlationId, traceparent, actor } = context;
    const cause = { correlationId, traceparent, actor };
    const requested = await requestedWithdrawal(this.parts, withdrawalId);
    invariant(!isRejection(requested), `withdrawal ${withdrawalId} was there a moment ago`);
    const { accountId } = requested;
    const steps = [
      await this.#commands.cancelWithdrawal({ withdrawalId, accountId, reason }, cause),
      await this.#commands.releaseFunds({ withdrawalId, accountId, reason: 'cancelled' }, cause),
    ];
    for (const step of steps) invariant(!isRejection(step), `a cancelled withdrawal is finished: ${withdrawalId}`);
    const end = await this.parts.reads.findEvent(withdrawalEndEventId(this.parts.ledger, withdrawalId));
    invariant(end !== undefined, `the money of withdrawal ${withdrawalId} was given back`);
    return end.position;
  }
}

function rejected(rejection: Rejection): Result {
  return { kind: 'rejected', rejection, uncertain: false };
}
