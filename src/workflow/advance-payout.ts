import type { PayoutState } from '../domain/payout/payout-state.js';
import { invariant, unreachable } from '../platform/assert.js';
import { RetryableError } from '../platform/errors.js';
import { nextStep, type Step } from './next-step.js';
import { viewOf, type CandidateView, type PayoutView } from './payout-view.js';
import { adopt, lookForSent, recogniseInBlock } from './steps/adopt.js';
import { close, finish, freeOwnChange, tellAccounts } from './steps/finish.js';
import { offer } from './steps/offer.js';
import { prepare } from './steps/prepare.js';
import { replace } from './steps/replace.js';
import { holdBack, isUnsigned } from './steps/hold-back.js';
import { askSigner } from './steps/sign.js';
import { becauseOfTheChain, mustTell } from './tell.js';
import type { WorkflowParts } from './workflow-parts.js';

/** Steps of one payout in a row; a payment from nothing to sent takes four. Then others get their turn. */
const MAX_STEPS = 12;
/** How long a payout waits for the read models to know what was written. */
export const READ_WAIT_MS = 2_000;

/**
 * Takes a payout as far as it can go now. What is to be done is asked anew after each step, of its stream and of the chain: nothing
 * is carried from one step to the next but what is recorded.
 *
 * @throws RetryableError where something that it needs does not answer: it is to be looked at again
 */
export async function advancePayout(parts: WorkflowParts, payoutId: string): Promise<void> {
  const { commands, work, agenda, now } = parts;
  for (let steps = 0; steps < MAX_STEPS; steps++) {
    await readModelsKnow(parts);
    const state = await commands.payoutState(payoutId);
    if (state.started === null) return;
    const payout = viewOf(state);
    const facts = await work.chainFacts(payoutId);
    if (facts === undefined) throw new RetryableError(`the read models do not know payout ${payoutId} yet`);
    // What confirms and then loses its block is to be sent again at once.
    if (facts.confirmed.length > 0) agenda.delay(payoutId, 'offerMs', 0);
    const step = nextStep(payout, facts, agenda.notBefore(payoutId), now());
    const next = await perform(parts, payoutId, state, payout, await heldBack(parts, payout, state, step));
    if (next.kind === 'over') {
      agenda.forget(payoutId);
      return;
    }
    if (next.kind === 'wait') {
      if (next.untilMs !== null) agenda.alarm(payoutId, next.untilMs);
      return;
    }
  }
  agenda.wake(payoutId);
}

/** Reads one's own writes: nothing is asked of the read models before they have what this workflow wrote. */
export async function readModelsKnow({ work, written }: Pick<WorkflowParts, 'work' | 'written'>): Promise<void> {
  const wanted = written.position;
  const reached = await work.waitFor(wanted, READ_WAIT_MS);
  if (reached < wanted) throw new RetryableError(`the read models are at position ${reached}, wanted is ${wanted}`);
}

/** Nothing is signed for an account that a reorg left below zero; all else goes on. */
async function heldBack(parts: WorkflowParts, payout: PayoutView, state: PayoutState, step: Step): Promise<HeldStep> {
  if ((step.kind !== 'sign' && step.kind !== 'wait') || !isUnsigned(payout)) return step;
  const held = await holdBack(parts, payout, state);
  return held.kind === 'free' ? step : held;
}

type HeldStep = Step | { kind: 'again' };

type Next = { kind: 'again' } | { kind: 'wait'; untilMs: number | null } | { kind: 'over' };

const AGAIN: Next = { kind: 'again' };

async function perform(
  parts: WorkflowParts,
  payoutId: string,
  state: PayoutState,
  payout: PayoutView,
  step: HeldStep,
): Promise<Next> {
  const { commands } = parts;
  switch (step.kind) {
    case 'wait':
    case 'again':
      return step;
    case 'finish':
      await finish(parts, payoutId, state);
      return { kind: 'over' };
    case 'prepare':
      await prepare(parts, payout);
      return AGAIN;
    case 'sign':
      return await sign(parts, payout, step.candidate);
    case 'adopt':
      await adopt(parts, payout, candidateAt(payout, step.candidate), step);
      return AGAIN;
    case 'look':
      await lookForSent(parts, payout, candidateAt(payout, step.candidate));
      return AGAIN;
    case 'offer':
      await offer(parts, payout);
      return AGAIN;
    case 'replace':
      await replace(parts, payout, step.cause);
      return AGAIN;
    case 'refuse-bump':
      await mustTell(parts, commands.refuseBump({ payoutId, reason: step.reason, detail: step.detail }));
      return AGAIN;
    case 'settle':
      await mustTell(parts, commands.settlePayout({ payoutId, txid: step.txid }, becauseOfTheChain(parts)));
      await tellAccounts(parts, payoutId, await commands.payoutState(payoutId));
      await freeOwnChange(parts, payoutId, state);
      return AGAIN;
    case 'close':
      await close(parts, payoutId, state, step);
      return AGAIN;
    case 'halt': {
      const { outpoint, byTxid, blockHash, height } = step;
      if (await recogniseInBlock(parts, payout, step)) return AGAIN;
      await mustTell(
        parts,
        commands.haltPayout({ payoutId, outpoint, byTxid, blockHash, height }, becauseOfTheChain(parts)),
      );
      return AGAIN;
    }
    case 'resume':
      await mustTell(parts, commands.resumePayout({ payoutId, byTxid: step.byTxid }, becauseOfTheChain(parts)));
      // What conflicted with the foreign spend has left every mempool.
      parts.agenda.delay(payoutId, 'offerMs', 0);
      return AGAIN;
    default:
      return unreachable(step, 'step');
  }
}

function candidateAt({ candidates }: PayoutView, number: number): CandidateView {
  const candidate = candidates[number];
  invariant(candidate?.candidate === number, 'candidates are numbered from 0');
  return candidate;
}

/** A signer elsewhere may take its time: it is asked on the side, and the payout is woken when it has answered. */
async function sign(parts: WorkflowParts, payout: PayoutView, number: number): Promise<Next> {
  const { signing, events } = parts;
  const candidate = candidateAt(payout, number);
  const { payoutId } = payout;
  if (payout.signer === 'local') {
    await askSigner(parts, payout, candidate);
    return AGAIN;
  }
  if (signing.has(payoutId)) return { kind: 'wait', untilMs: null };
  const asked = signing.run(payoutId, async () => {
    try {
      await askSigner(parts, payout, candidate);
    } catch (error) {
      events.trouble(payoutId, error);
    }
  });
  // All signers are busy: the next one that is done wakes who waits.
  return { kind: 'wait', untilMs: asked ? null : parts.now() + 1_000 };
}
