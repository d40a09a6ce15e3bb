import { invariant } from '../../platform/assert.js';
import type { DomainEvent } from '../events/event-types.js';
import type { CandidateSigned } from '../events/payout-events.js';
import { reject, type Rejection } from '../rejection.js';
import { outpointsOf, paymentsOfRound } from './payout-candidates.js';
import type { PayoutState } from './payout-state.js';

/** Signed forms of one candidate. Each costs a place in what is watched; ECDSA signers give one or a few. */
export const MAX_SIGNED_FORMS = 20;

/**
 * Takes on a transaction that was checked against its plan and is complete. No event for one that is there already; another txid
 * of the same candidate is one more form of it. While the payout is halted only the transaction that halted it: then that was ours.
 *
 * @throws InvariantError for one that shares no input with a payment signed before: nothing is written
 */
export function recordSigned(command: CandidateSigned, state: PayoutState): DomainEvent[] | Rejection {
  const { payoutId, candidate: number, txid } = command;
  if (state.started === null) return reject('payout-not-found', `There is no payout '${payoutId}'.`);
  if (state.candidates.some(({ signed }) => signed.some((form) => form.txid === txid))) return [];
  // Taken for somebody else's while its txid was not known: it was broadcast by who signed it.
  const isOwnAfterAll = state.phase === 'halted' && state.halt?.byTxid === txid;
  if (!isOwnAfterAll && state.phase !== 'prepared' && state.phase !== 'signed' && state.phase !== 'settled') {
    return reject('payout-not-ready', `Payout '${payoutId}' is ${state.phase}: there is nothing to be signed.`);
  }
  const candidate = state.candidates[number];
  if (candidate === undefined || candidate.void) {
    return reject('psbt-mismatch', `Candidate ${number} of payout '${payoutId}' is not to be signed any more.`);
  }
  if (candidate.signed.length >= MAX_SIGNED_FORMS) {
    return reject(
      'payout-not-ready',
      `Candidate ${number} of payout '${payoutId}' was signed ${MAX_SIGNED_FORMS} times.`,
    );
  }
  if (candidate.transaction.txid !== null && candidate.transaction.txid !== txid) {
    return reject('psbt-mismatch', `The txid is ${txid}, not ${candidate.transaction.txid}.`);
  }
  const planned = outpointsOf(candidate.transaction);
  invariant(
    planned.length === command.inputs.length && planned.every((outpoint, at) => command.inputs[at] === outpoint),
    `what was signed for payout ${payoutId} spends what was planned`,
  );
  if (candidate.kind === 'payment') assertExcludes(payoutId, new Set(planned), state);
  return [{ type: 'CandidateSigned', data: command }];
}

/** The central promise, once more and directly: any two payments signed for the same withdrawals share an input. */
function assertExcludes(payoutId: string, inputs: ReadonlySet<string>, state: PayoutState): void {
  for (const other of paymentsOfRound(state)) {
    if (other.signed.length === 0) continue;
    invariant(
      outpointsOf(other.transaction).some((outpoint) => inputs.has(outpoint)),
      `payments signed for payout ${payoutId} share an input with candidate ${other.candidate}`,
    );
  }
}
