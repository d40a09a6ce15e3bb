import { Inject } from '@nestjs/common';
import { CommandHandler, type ICommandHandler } from '@nestjs/cqrs';
import { addressToScript } from '../../bitcoin/descriptors/address-script.js';
import { dustLimitSats } from '../../bitcoin/payment/dust.js';
import { accountStream } from '../../domain/account/account-state.js';
import { reserveFunds, type ReserveFacts, type ReserveFunds } from '../../domain/account/reserve-funds.js';
import { deterministicUuid } from '../../domain/event-id.js';
import { withdrawalEventId } from '../../domain/new-event.js';
import { isRejection, reject, type Rejection } from '../../domain/rejection.js';
import { FatalError } from '../../platform/errors.js';
import type { CommandContext } from '../command-context.js';
import { COMMAND_PARTS, type CommandParts } from '../command-parts.js';
import { payingWallet } from '../paying-wallet.js';
import type { CommandOutcome, CommandScope } from '../run-command.js';
import type { DecideResult } from '../stream-decider.js';

/** Blocks, where the request names none: an hour, as wallets have it. */
export const DEFAULT_CONFIRMATION_TARGET = 6;

export interface RequestWithdrawalInput {
  withdrawalId: string | undefined;
  accountId: string;
  walletId: string | undefined;
  address: string;
  amountSats: bigint;
  maxFeeSats: bigint | undefined;
  confirmationTarget: number | undefined;
}

export class RequestWithdrawalCommand {
  constructor(
    readonly context: CommandContext,
    readonly input: RequestWithdrawalInput,
  ) {}
}

interface Facts extends ReserveFacts {
  /** Events of the stream that the look-up of the withdrawal id covers. */
  lookedUpEvents: number;
}

/** A withdrawal that is asked for, with all that does not depend on the account. */
interface Request {
  withdrawal: ReserveFunds;
  /** Made from the key: as unique as the key. */
  isGenerated: boolean;
  dustSats: bigint;
}

type Result = DecideResult<Readonly<Record<string, unknown>>>;

@CommandHandler(RequestWithdrawalCommand)
export class RequestWithdrawalHandler implements ICommandHandler<RequestWithdrawalCommand, CommandOutcome> {
  constructor(@Inject(COMMAND_PARTS) private readonly parts: CommandParts) {}

  execute({ context, input }: RequestWithdrawalCommand): Promise<CommandOutcome> {
    const { runner, claims } = this.parts;
    const stream = accountStream(input.accountId);
    const request = { name: 'request-withdrawal', input: { ...input }, status: 202 as const };
    return runner.run(context, request, stream, async (scope): Promise<Result> => {
      const asked = await this.#request(context, input);
      if (isRejection(asked)) return { kind: 'rejected', rejection: asked, uncertain: false };
      if (asked.isGenerated) return await this.#reserve(asked, stream, scope);
      // The id is unique in the ledger, the streams are the accounts': one after the other, so that two cannot both find it free.
      return await claims.run(`withdrawal:${asked.withdrawal.withdrawalId}`, () => this.#claim(asked, stream, scope));
    });
  }

  async #request(context: CommandContext, input: RequestWithdrawalInput): Promise<Request | Rejection> {
    const { network, ledger } = this.parts;
    const { accountId, address, amountSats } = input;
    const script = addressToScript(address, network);
    if (script === undefined) return reject('address-invalid', `This is not an address of ${network}.`);
    const walletId = await payingWallet(this.parts, input.walletId);
    if (typeof walletId !== 'string') return walletId;
    return {
      withdrawal: {
        withdrawalId: input.withdrawalId ?? deterministicUuid(ledger, 'withdrawal-id', context.idempotencyKey),
        accountId,
        walletId,
        address,
        script: Buffer.from(script).toString('hex'),
        amountSats,
        maxFeeSats: input.maxFeeSats ?? null,
        confirmationTarget: input.confirmationTarget ?? DEFAULT_CONFIRMATION_TARGET,
      },
      isGenerated: input.withdrawalId === undefined,
      dustSats: dustLimitSats(script),
    };
  }

  /** Another process may claim the same id at the same moment: the log takes it once, and then it is found. */
  async #claim(request: Request, stream: string, scope: CommandScope): Promise<Result> {
    try {
      return await this.#reserve(request, stream, scope);
    } catch (error) {
      const id = withdrawalEventId(this.parts.ledger, request.withdrawal.withdrawalId);
      if (!(error instanceof FatalError) || !(await this.parts.reads.eventExists(id))) throw error;
      return await this.#reserve(request, stream, scope);
    }
  }

  async #reserve(request: Request, stream: string, scope: CommandScope): Promise<Result> {
    const first = await this.#decide(request, stream, scope);
    if (first.kind !== 'rejected' || first.rejection.rejected !== 'insufficient-funds') return first;
    // The credits were read from a model that may be behind: before it says no, it has to know everything.
    await this.parts.reads.catchUp();
    return await this.#decide(request, stream, scope);
  }

  #decide(request: Request, stream: string, scope: CommandScope): Promise<Result> {
    const { withdrawal, isGenerated } = request;
    const { withdrawalId } = withdrawal;
    return this.parts.accounts.run<Facts, Readonly<Record<string, unknown>>>({
      stream,
      prepare: ({ committed }) => this.#facts(request, committed.events),
      decide: (state, facts) => {
        // What the stream has forgotten of its withdrawal ids must lie before what was looked up.
        if (!isGenerated && facts.lookedUpEvents < state.recentWithdrawals.since) return 'again';
        const events = reserveFunds(withdrawal, state, facts);
        return isRejection(events) ? events : { events, detail: { withdrawalId, status: 'requested' } };
      },
      toAppend: ({ events, detail }) => scope.toAppend(events, detail),
    });
  }

  async #facts({ withdrawal, isGenerated, dustSats }: Request, lookedUpEvents: number): Promise<Facts> {
    const { reads, ledger, rules } = this.parts;
    const [creditsSats, withdrawalExists] = await Promise.all([
      reads.creditsSats(withdrawal.accountId),
      isGenerated ? false : reads.eventExists(withdrawalEventId(ledger, withdrawal.withdrawalId)),
    ]);
    return { creditsSats, withdrawalExists, dustSats, maxSats: rules.maxSats, lookedUpEvents };
  }
}
