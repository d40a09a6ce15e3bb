import type { NetworkName } from '../../bitcoin/network.js';
import { buildPsbt } from '../../bitcoin/payment/build-psbt.js';
import { checkSigned } from '../../bitcoin/payment/check-signed.js';
import type { PaymentNode } from '../../bitcoin/payment/payment-node.js';
import type { SignerAnswer } from '../../bitcoin/payment/signer.js';
import type { CandidateSigned, PlannedTransaction } from '../../domain/events/payout-events.js';
import { isRejection, type Rejection } from '../../domain/rejection.js';
import { RetryableError } from '../../platform/errors.js';
import { backoffMs } from '../backoff.js';
import { paymentWallet, type PaymentWallet, type WalletDescriptors } from '../payment-wallet.js';
import type { CandidateView, PayoutView } from '../payout-view.js';
import { mustTell, tell } from '../tell.js';
import { isUnsigned } from './hold-back.js';
import type { WorkflowParts } from '../workflow-parts.js';

/** A signer that has the request and has not answered yet is asked as seldom as one that is away. */
const RETRY = { firstMs: 1_000, maxMs: 300_000 };

export interface UnsignedParts {
  network: NetworkName;
  node: Pick<PaymentNode, 'previousTransactions'>;
  walletOf: (walletId: string) => Promise<WalletDescriptors | null | undefined>;
}

/** A PSBT cannot be made now: a transaction that made one of its coins cannot be had. */
export class PreviousMissingError extends RetryableError {}

/**
 * The PSBT of a transaction of a wallet: the same bytes each time, as long as the same previous transactions can be had.
 *
 * @throws RetryableError where the node does not give what a signer needs to see
 */
export async function unsignedPsbt(
  { network, node, walletOf }: UnsignedParts,
  walletId: string,
  transaction: PlannedTransaction,
  needs: 'all-previous' | 'least' = 'all-previous',
): Promise<Uint8Array> {
  const wallet = paymentWallet(await walletOf(walletId), network);
  if (wallet === undefined) throw new RetryableError(`wallet ${walletId} has no descriptor`);
  const withoutWitness = transaction.inputs.filter(({ derivation }) => kindAt(wallet, derivation.branch) === 'pkh');
  const wanted = needs === 'all-previous' ? transaction.inputs : withoutWitness;
  const previous = await node.previousTransactions([
    ...new Map(wanted.map(({ txid, blockHash }) => [txid, { txid, blockHash }])).values(),
  ]);
  const psbt = buildPsbt({ transaction, network, receive: wallet.receive, change: wallet.change, previous });
  if ('missing' in psbt) {
    throw new PreviousMissingError(`previous transactions of coins of wallet ${walletId} cannot be had`, {
      missing: psbt.missing,
    });
  }
  return psbt;
}

function kindAt(wallet: PaymentWallet, branch: number): string {
  return branch === wallet.changeBranch ? wallet.change.kind : wallet.receive.kind;
}

export type SignedOutcome =
  | { kind: 'recorded'; txid: string }
  | { kind: 'mismatch'; detail: string }
  | { kind: 'incomplete'; detail: string }
  | { kind: 'refused'; rejection: Rejection };

/**
 * Checks what came back from a signer against what was asked and, where it is that and complete, makes it an event. Nothing of it is
 * trusted before. Signed again with another txid it is one more form of the same payment, and both are watched.
 */
export async function takeSigned(
  parts: Pick<WorkflowParts, 'commands' | 'written'>,
  { payoutId }: Pick<PayoutView, 'payoutId'>,
  { candidate, transaction: planned }: Pick<CandidateView, 'candidate' | 'transaction'>,
  signed: string | Uint8Array,
): Promise<SignedOutcome> {
  const checked = checkSigned(signed, planned);
  switch (checked.kind) {
    case 'mismatch': {
      const detail = checked.mismatches.map(({ field, detail: what }) => `${field}: ${what}`).join('; ');
      return { kind: 'mismatch', detail: detail.slice(0, 500) };
    }
    case 'incomplete': {
      const inputs = checked.inputs.slice(0, 20).join(', ');
      return { kind: 'incomplete', detail: `No signature yet for input ${inputs}.` };
    }
    case 'complete': {
      const { txid, transaction, inputs, changeVouts, weight } = checked;
      const event: CandidateSigned = {
        payoutId,
        candidate,
        txid,
        transaction,
        inputs,
        changeVouts,
        feeSats: checked.feeSats.toString(),
        weight,
      };
      const recorded = await tell(parts, parts.commands.recordSigned(event));
      return isRejection(recorded) ? { kind: 'refused', rejection: recorded } : { kind: 'recorded', txid };
    }
  }
}

/** Asks the payout's signer for a signature of a candidate; what is late or refused is asked again later, with the same PSBT. */
export async function askSigner(parts: WorkflowParts, payout: PayoutView, candidate: CandidateView): Promise<void> {
  const { agenda, commands, events, signers, signerGates, network, node, now, random } = parts;
  const { payoutId, walletId, signer } = payout;
  const gate = signerGates[signer];
  const opensAtMs = gate.opensAtMs();
  if (opensAtMs > 0) {
    agenda.delay(payoutId, 'signMs', opensAtMs);
    return;
  }
  const psbt = await unsignedPsbt(
    { network, node, walletOf: async (id) => (await commands.walletState(id)).created },
    walletId,
    candidate.transaction,
    signer === 'local' ? 'least' : 'all-previous',
  );
  const answer = await gate.pass<SignerAnswer>(
    () => signers[signer].sign({ payoutId, walletId, psbt }),
    ({ kind }) => kind !== 'unavailable',
  );
  const problem = (await isFrozenMeanwhile(parts, payout, answer))
    ? PENDING
    : await takeAnswer(parts, payout, candidate, answer);
  events.signerAnswered(problem?.kind ?? 'signed');
  if (problem === undefined) {
    agenda.succeeded(payoutId, 'signMs');
    agenda.delay(payoutId, 'signMs', 0);
    return;
  }
  agenda.delay(payoutId, 'signMs', now() + backoffMs(RETRY, agenda.failed(payoutId, 'signMs'), random()));
  // A signer that says that it is at work is no reason to worry.
  if (problem.kind === 'pending') return;
  const reason =
    problem.kind === 'unavailable' || problem.kind === 'incomplete' ? 'signer-unavailable' : 'signer-refused';
  await mustTell(parts, commands.deferPayout({ payoutId, reason, detail: problem.detail.slice(0, 500) }));
}

const PENDING: SigningProblem = { kind: 'pending', detail: 'It may not be signed now.' };

/** A signer elsewhere may take long: a reorg may have left an account below zero since it was asked. Then its answer does not count. */
async function isFrozenMeanwhile(
  { work }: WorkflowParts,
  payout: PayoutView,
  { kind }: SignerAnswer,
): Promise<boolean> {
  if (kind !== 'signed' || payout.signer === 'local' || !isUnsigned(payout)) return false;
  const frozen = await work.frozenAccounts([...new Set(payout.withdrawals.map(({ accountId }) => accountId))]);
  return frozen.size > 0;
}

interface SigningProblem {
  kind: 'pending' | 'refused' | 'unavailable' | 'mismatch' | 'incomplete';
  detail: string;
}

async function takeAnswer(
  parts: WorkflowParts,
  payout: PayoutView,
  candidate: CandidateView,
  answer: SignerAnswer,
): Promise<SigningProblem | undefined> {
  if (answer.kind !== 'signed') return answer;
  const outcome = await takeSigned(parts, payout, candidate, answer.signed);
  switch (outcome.kind) {
    case 'recorded':
      return undefined;
    case 'refused':
      // The payout has changed since it was looked at: a withdrawal was taken out, or a person decided.
      return undefined;
    case 'mismatch':
    case 'incomplete':
      return outcome;
  }
}
