import type { CoinPlace, NodeAnswer } from '../../bitcoin/payment/payment-node.js';
import { backoffMs } from '../backoff.js';
import { isTaken, sendable, type CandidateView, type PayoutView, type SignedView } from '../payout-view.js';
import { mustTell } from '../tell.js';
import type { WorkflowParts } from '../workflow-parts.js';

/** After an answer that is none, or a no that may become a yes. */
const RETRY = { firstMs: 1_000, maxMs: 120_000 };

/**
 * Sends what is signed: the newest payment first, an older one where the node does not take that, then children of what it has. The same
 * bytes, as often as needed; what the node answers is kept, and changes nothing but when it is sent again.
 */
export async function offer(parts: WorkflowParts, payout: PayoutView): Promise<void> {
  const { agenda, nodeGate, now, random, policy, node } = parts;
  const { payoutId } = payout;
  const opensAtMs = nodeGate.opensAtMs();
  if (opensAtMs > 0) {
    agenda.delay(payoutId, 'firstOfferMs', opensAtMs);
    agenda.delay(payoutId, 'offerMs', opensAtMs);
    return;
  }
  const answers: NodeAnswer[] = [];
  const all = sendable(payout);
  const taken = new Set<string>();
  for (const one of all.filter(({ of }) => of.kind === 'payment')) {
    // Those before it conflict with it: the node has the better one.
    if (taken.size > 0) break;
    const answer = await offerOne(parts, payout, one);
    answers.push(answer);
    if (isTaken(answer.kind)) taken.add(one.signed.txid);
  }
  for (const one of all.filter(({ of }) => of.kind === 'child').reverse()) {
    if (!one.of.transaction.inputs.some(({ txid }) => taken.has(txid))) continue;
    const answer = await offerOne(parts, payout, one);
    answers.push(answer);
    if (isTaken(answer.kind)) taken.add(one.signed.txid);
  }
  if (taken.size === 0) await sayIfRefused(parts, payout, answers);
  const isSettledForNow = taken.size > 0 && answers.every(({ kind }) => kind !== 'unknown');
  if (isSettledForNow || !node.canSend) {
    agenda.succeeded(payoutId, 'offerMs');
    // Up to a quarter earlier, so that what was sent together is not sent together for ever.
    agenda.delay(payoutId, 'offerMs', now() + Math.round(policy.rebroadcastMs * (1 - random() / 4)));
    return;
  }
  agenda.delay(payoutId, 'offerMs', now() + backoffMs(RETRY, agenda.failed(payoutId, 'offerMs'), random()));
}

/**
 * The node takes none of its payments and says of one that it never will: a rule of its own, stricter than what is usual. It stays signed, and
 * is offered again, because another node may take it; but somebody has to look.
 */
async function sayIfRefused(
  parts: WorkflowParts,
  { payoutId }: PayoutView,
  answers: readonly NodeAnswer[],
): Promise<void> {
  const refused = answers.find(({ kind }) => kind === 'refused');
  if (refused === undefined || answers.some(({ kind }) => kind === 'unknown')) return;
  const detail = refused.detail.slice(0, 500);
  await mustTell(parts, parts.commands.deferPayout({ payoutId, reason: 'node-refused', detail }));
}

async function offerOne(
  parts: WorkflowParts,
  payout: PayoutView,
  { of, signed }: { of: CandidateView; signed: SignedView },
): Promise<NodeAnswer> {
  const { commands, events } = parts;
  const { payoutId } = payout;
  const { txid } = signed;
  const transaction = await commands.signedTransaction(payoutId, txid);
  const coins: CoinPlace[] = of.transaction.inputs.map(({ txid: made, vout, blockHash }) => ({
    outpoint: `${made}:${vout}`,
    blockHash,
  }));
  const answer = await ask(parts, signed, transaction, coins);
  events.offered(answer.kind);
  const detail = answer.detail.slice(0, 500);
  // What a replacement was made for came to nothing: said first, so that a crash between the two says it again.
  if (isReplacement(payout, of) && (answer.kind === 'fee-too-low' || answer.kind === 'refused')) {
    await mustTell(parts, commands.refuseBump({ payoutId, reason: 'refused-by-node', detail }));
  }
  await mustTell(parts, commands.recordOffer({ payoutId, txid, answer: answer.kind, detail }));
  return answer;
}

/** The first time the node is asked whether it would take it; a replacement counts only from then on. */
async function ask(
  { node, nodeGate }: Pick<WorkflowParts, 'node' | 'nodeGate'>,
  { lastAnswer }: SignedView,
  transaction: string,
  coins: readonly CoinPlace[],
): Promise<NodeAnswer> {
  if (!node.canSend) return await node.broadcast(transaction, coins);
  const hasAnswered = ({ kind }: NodeAnswer): boolean => kind !== 'unknown';
  if (lastAnswer === null) {
    const tested = await nodeGate.pass(() => node.testAccept(transaction, coins), hasAnswered);
    if (tested.kind !== 'accepted' && tested.kind !== 'unknown') return tested;
  }
  return await nodeGate.pass(() => node.broadcast(transaction, coins), hasAnswered);
}

function isReplacement(payout: PayoutView, of: CandidateView): boolean {
  if (of.kind === 'child') return true;
  return payout.candidates.some(
    ({ candidate, kind, isVoid, signed }) =>
      kind === 'payment' && !isVoid && signed.length > 0 && candidate < of.candidate,
  );
}
