import { hash } from 'node:crypto';
import { Inject } from '@nestjs/common';
import { CommandHandler, type ICommandHandler } from '@nestjs/cqrs';
import { signableCandidates } from '../../domain/payout/payout-candidates.js';
import { payoutStream, type PayoutState } from '../../domain/payout/payout-state.js';
import { recordSigned } from '../../domain/payout/record-signed.js';
import type { CandidateSigned } from '../../domain/events/payout-events.js';
import { isRejection, reject, type Rejection } from '../../domain/rejection.js';
import { ProblemError } from '../../platform/http/problem.js';
import type { CommandContext } from '../command-context.js';
import { COMMAND_PARTS, type CommandParts } from '../command-parts.js';
import { frozenRefusal } from '../frozen-accounts.js';
import type { SignedCheck } from '../ports.js';
import type { CommandOutcome } from '../run-command.js';

/** Candidates that what was brought back is held against, newest first: who signs was given one of the last. */
const MAX_COMPARED = 20;
/** Of what is told of differences. */
const MAX_DETAIL = 1_000;

export interface AcceptSignedInput {
  payoutId: string;
  /** Binary, or text as it came. */
  signed: Uint8Array | string;
}

export class AcceptSignedCommand {
  constructor(
    readonly context: CommandContext,
    readonly input: AcceptSignedInput,
  ) {}
}

@CommandHandler(AcceptSignedCommand)
export class AcceptSignedHandler implements ICommandHandler<AcceptSignedCommand, CommandOutcome> {
  constructor(@Inject(COMMAND_PARTS) private readonly parts: CommandParts) {}

  execute({ context, input }: AcceptSignedCommand): Promise<CommandOutcome> {
    const { payoutId, signed } = input;
    const stream = payoutStream(payoutId);
    // Of the bytes a hash: they may be megabytes, and another PSBT is another request.
    const asked = { payoutId, sha256: hash('sha256', signed, 'hex') };
    const request = { name: 'accept-signed', input: asked, status: 202 as const };
    return this.parts.runner.run(context, request, stream, (scope) =>
      this.parts.payouts.run<CandidateSigned | Rejection, Readonly<Record<string, unknown>>>({
        stream,
        prepare: ({ newest }) => this.#check(input, newest),
        decide: (state, checked) => {
          if (isRejection(checked)) return checked;
          const events = recordSigned(checked, state);
          if (isRejection(events)) return events;
          return { events, detail: { payoutId, status: 'signed', txid: checked.txid } };
        },
        toAppend: ({ events, detail }) => scope.toAppend(events, detail),
      }),
    );
  }

  async #check({ payoutId, signed }: AcceptSignedInput, state: PayoutState): Promise<CandidateSigned | Rejection> {
    const { signing } = this.parts;
    if (signing === undefined) throw new ProblemError('unavailable', 'Nothing can be signed here.');
    if (state.started === null) return reject('payout-not-found', `There is no payout '${payoutId}'.`);
    const candidates = signableCandidates(state).slice(0, MAX_COMPARED);
    if (candidates.length === 0) {
      return reject('payout-not-ready', `Payout '${payoutId}' is ${state.phase}: there is nothing to be signed.`);
    }
    const frozen = await frozenRefusal(this.parts, state);
    if (frozen !== undefined) return frozen;
    let refusal: Rejection | undefined;
    for (const candidate of candidates) {
      const checked = await signing.checkSigned(state, candidate, signed);
      if (checked.kind === 'complete') {
        const { txid, transaction, inputs, changeVouts, feeSats, weight } = checked;
        return { payoutId, candidate: candidate.candidate, txid, transaction, inputs, changeVouts, feeSats, weight };
      }
      // What it is an incomplete form of says more than what it is not; else it is held against the newest.
      if (refusal === undefined || checked.kind === 'incomplete') refusal = refusalOf(checked);
    }
    return refusal ?? reject('psbt-mismatch', 'It is no transaction of this payout.');
  }
}

function refusalOf(checked: Exclude<SignedCheck, { kind: 'complete' }>): Rejection {
  if (checked.kind === 'incomplete') {
    return reject('psbt-incomplete', `Inputs without a complete signature: ${checked.inputs.join(', ')}.`);
  }
  const text = checked.differences.map(({ field, detail }) => `${field}: ${detail}`).join('; ');
  return reject('psbt-mismatch', text.length > MAX_DETAIL ? `${text.slice(0, MAX_DETAIL)}…` : text);
}
