import { RetryableError } from '../../platform/errors.js';
import { backoffMs } from '../backoff.js';
import { findSent } from '../find-sent.js';
import type { CandidateView, PayoutView } from '../payout-view.js';
import type { WorkflowParts } from '../workflow-parts.js';
import { PreviousMissingError, takeSigned } from './sign.js';

/** Between tries to read what a signer has sent by itself. */
const ADOPT_AGAIN_MS = 60_000;
/** Between looks into the node's mempool for one payment: often at first, when it was just handed out. */
const LOOK = { firstMs: 5_000, maxMs: 300_000 };
/** Candidates that a transaction is held against, newest first. */
const MAX_COMPARED = 20;

/**
 * A signer has sent what it signed without bringing it back, and a block holds it. Its bytes are taken from there as from a signer: from
 * then on nothing can be taken out of the payout any more.
 */
export async function adopt(
  parts: WorkflowParts,
  payout: PayoutView,
  candidate: CandidateView,
  { txid, blockHash }: { txid: string; blockHash: string },
): Promise<void> {
  const { agenda, events, node, now } = parts;
  const { payoutId } = payout;
  // Whatever comes of it, it is not asked for again at once; until then the payment counts all the same.
  agenda.delay(payoutId, 'signMs', now() + ADOPT_AGAIN_MS);
  const bytes = (await node.previousTransactions([{ txid, blockHash }])).get(txid);
  if (bytes === undefined) {
    events.trouble(payoutId, new PreviousMissingError(`transaction ${txid} of block ${blockHash} cannot be had`));
    return;
  }
  const outcome = await takeSigned(parts, payout, candidate, Buffer.from(bytes).toString('hex'));
  events.signerAnswered(outcome.kind === 'recorded' ? 'signed' : 'mismatch');
}

/**
 * The same before a block holds it: the node has in its mempool what nobody has brought back. What it has is checked like all that is signed,
 * so it counts only where it is the payment that was asked for.
 */
export async function lookForSent(parts: WorkflowParts, payout: PayoutView, candidate: CandidateView): Promise<void> {
  const { agenda, events, node, now, random } = parts;
  const { payoutId } = payout;
  agenda.delay(payoutId, 'lookMs', now() + backoffMs(LOOK, agenda.failed(payoutId, 'lookMs'), random()));
  let found: string | undefined;
  try {
    found = await findSent(node, candidate.transaction);
  } catch (error) {
    if (!(error instanceof RetryableError)) throw error;
    events.trouble(payoutId, error);
    return;
  }
  if (found === undefined) return;
  const outcome = await takeSigned(parts, payout, candidate, found);
  if (outcome.kind === 'recorded') events.signerAnswered('signed');
}

/**
 * A transaction in a block spends a coin of the payout and is none whose txid was known. Where its candidates have scriptSigs it may be one of
 * them all the same, sent by who signed it. Answers whether it is: then it is recorded, and nobody is alarmed.
 *
 * @throws RetryableError where the source of blocks does not answer
 */
export async function recogniseInBlock(
  parts: WorkflowParts,
  payout: PayoutView,
  { byTxid, blockHash }: { byTxid: string; blockHash: string },
): Promise<boolean> {
  const unknown = payout.candidates
    .filter(({ isVoid, transaction }) => !isVoid && transaction.txid === null)
    .reverse()
    .slice(0, MAX_COMPARED);
  if (unknown.length === 0) return false;
  const bytes = (await parts.node.previousTransactions([{ txid: byTxid, blockHash }])).get(byTxid);
  if (bytes === undefined) return false;
  for (const candidate of unknown) {
    const outcome = await takeSigned(parts, payout, candidate, Buffer.from(bytes).toString('hex'));
    if (outcome.kind !== 'recorded') continue;
    parts.events.signerAnswered('signed');
    return true;
  }
  return false;
}
