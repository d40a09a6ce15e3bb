import { Inject } from '@nestjs/common';
import { CommandHandler, type ICommandHandler } from '@nestjs/cqrs';
import { evolvePayout, payoutStream, type PayoutState } from '../../domain/payout/payout-state.js';
import { decisiveInputs } from '../../domain/payout/payout-candidates.js';
import { resolvePayout, type ResolveFacts, type ResolvePayout } from '../../domain/payout/resolve-payout.js';
import { unpaidBy } from '../../domain/payout/unpaid-by.js';
import { isRejection } from '../../domain/rejection.js';
import { ProblemError } from '../../platform/http/problem.js';
import type { CommandContext } from '../command-context.js';
import { COMMAND_PARTS, type CommandParts } from '../command-parts.js';
import type { CommandOutcome } from '../run-command.js';

export class ResolvePayoutCommand {
  constructor(
    readonly context: CommandContext,
    readonly input: ResolvePayout,
  ) {}
}

const UNKNOWN: ResolveFacts = { confirmations: 0, outpoint: null, unpaid: [] };

@CommandHandler(ResolvePayoutCommand)
export class ResolvePayoutHandler implements ICommandHandler<ResolvePayoutCommand, CommandOutcome> {
  constructor(@Inject(COMMAND_PARTS) private readonly parts: CommandParts) {}

  execute({ context, input }: ResolvePayoutCommand): Promise<CommandOutcome> {
    const { runner, payouts } = this.parts;
    const { payoutId } = input;
    const stream = payoutStream(payoutId);
    const request = { name: 'resolve-payout', input: { ...input }, status: 202 as const };
    return runner.run(context, request, stream, (scope) =>
      payouts.run<ResolveFacts, Readonly<Record<string, unknown>>>({
        stream,
        prepare: ({ newest }) => this.#facts(input, newest),
        decide: (state, facts) => {
          const events = resolvePayout(input, state, facts);
          if (isRejection(events)) return events;
          return { events, detail: { payoutId, status: events.reduce(evolvePayout, state).phase } };
        },
        toAppend: ({ events, detail }) => scope.toAppend(events, detail),
      }),
    );
  }

  async #facts({ byTxid }: ResolvePayout, state: PayoutState): Promise<ResolveFacts> {
    // What is refused without looking at the chain.
    if (state.phase !== 'halted' || state.halt === null) return UNKNOWN;
    const { evidence } = this.parts;
    if (evidence === undefined) throw new ProblemError('unavailable', 'The chain cannot be looked at here.');
    const outpoints = decisiveInputs(state) ?? [state.halt.outpoint];
    const found = await evidence.transaction(byTxid, outpoints);
    if (found === undefined) return UNKNOWN;
    const { confirmations, spends, outputs } = found;
    const outpoint = outpoints.find((candidate) => spends.includes(candidate)) ?? null;
    return { confirmations, outpoint, unpaid: unpaidBy(outputs, state.withdrawals) };
  }
}
