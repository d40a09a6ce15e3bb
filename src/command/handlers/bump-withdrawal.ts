import { Inject } from '@nestjs/common';
import { CommandHandler, type ICommandHandler } from '@nestjs/cqrs';
import { payoutStream, type PayoutState } from '../../domain/payout/payout-state.js';
import { requestBump } from '../../domain/payout/request-bump.js';
import { isRejection, reject, type Rejection } from '../../domain/rejection.js';
import { withdrawalStream } from '../../domain/withdrawal/withdrawal-state.js';
import type { CommandContext } from '../command-context.js';
import { COMMAND_PARTS, type CommandParts } from '../command-parts.js';
import { requestedWithdrawal } from '../requested-withdrawal.js';
import type { CommandOutcome } from '../run-command.js';
import type { DecideResult } from '../stream-decider.js';

export interface BumpWithdrawalInput {
  withdrawalId: string;
  /** Undefined: whatever its target needs now. */
  feeRateSatsPerVbyte: number | undefined;
}

export class BumpWithdrawalCommand {
  constructor(
    readonly context: CommandContext,
    readonly input: BumpWithdrawalInput,
  ) {}
}

type Result = DecideResult<Readonly<Record<string, unknown>>>;

@CommandHandler(BumpWithdrawalCommand)
export class BumpWithdrawalHandler implements ICommandHandler<BumpWithdrawalCommand, CommandOutcome> {
  constructor(@Inject(COMMAND_PARTS) private readonly parts: CommandParts) {}

  execute({ context, input }: BumpWithdrawalCommand): Promise<CommandOutcome> {
    const { runner, payouts } = this.parts;
    const { withdrawalId, feeRateSatsPerVbyte } = input;
    const request = { name: 'bump-withdrawal', input: { ...input }, status: 202 as const };
    return runner.run(context, request, withdrawalStream(withdrawalId), async (scope): Promise<Result> => {
      const payoutId = await this.#payoutOf(input);
      if (isRejection(payoutId)) return { kind: 'rejected', rejection: payoutId, uncertain: false };
      return await payouts.run<undefined, Readonly<Record<string, unknown>>>({
        stream: payoutStream(payoutId.payoutId),
        prepare: () => Promise.resolve(undefined),
        decide: (state) => {
          const feeRateSatsPerKvb =
            feeRateSatsPerVbyte === undefined ? null : Math.round(feeRateSatsPerVbyte * 1_000).toString();
          const events = requestBump({ ...payoutId, withdrawalId, feeRateSatsPerKvb }, state);
          return isRejection(events)
            ? events
            : { events, detail: { withdrawalId, ...payoutId, status: statusOf(state) } };
        },
        toAppend: ({ events, detail }) => scope.toAppend(events, detail),
      });
    });
  }

  async #payoutOf({
    withdrawalId,
    feeRateSatsPerVbyte = 0,
  }: BumpWithdrawalInput): Promise<{ payoutId: string } | Rejection> {
    const { withdrawals, rules } = this.parts;
    const requested = await requestedWithdrawal(this.parts, withdrawalId);
    if (isRejection(requested)) return requested;
    if (feeRateSatsPerVbyte > rules.maxFeeRateSatsPerVbyte) {
      return reject('fee-rate-too-high', `The fee rate is at most ${rules.maxFeeRateSatsPerVbyte} sat/vB here.`);
    }
    const { phase, payoutId } = await withdrawals.read(withdrawalStream(withdrawalId));
    if (phase === 'assigned' && payoutId !== null) return { payoutId };
    return reject('withdrawal-not-bumpable', `Withdrawal '${withdrawalId}' is ${phase}; nothing was sent.`);
  }
}

/** A node that took it once makes it broadcast. */
function statusOf({ offers }: PayoutState): string {
  const answers = Object.values(offers).map(({ answer }) => answer);
  return answers.some((answer) => answer === 'accepted' || answer === 'already-known' || answer === 'already-in-chain')
    ? 'broadcast'
    : 'signed';
}
