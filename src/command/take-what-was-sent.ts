import { isSigned, signableCandidates } from '../domain/payout/payout-candidates.js';
import { payoutStream } from '../domain/payout/payout-state.js';
import type { CommandParts } from './command-parts.js';
import type { LedgerCommands } from './ledger-commands.js';

/**
 * Records a payment that its signer has sent and not brought back, where the node has it. Only what is prepared and could be signed
 * elsewhere is asked for; the keys of `local` are ours.
 *
 * @throws RetryableError where the node does not answer: whether it was sent is not known then
 */
export async function takeWhatWasSent(
  { payouts, signing }: CommandParts,
  commands: Pick<LedgerCommands, 'recordSigned'>,
  payoutId: string,
): Promise<void> {
  const state = await payouts.read(payoutStream(payoutId));
  const [newest] = signableCandidates(state);
  if (signing === undefined || newest === undefined || isSigned(state) || state.started?.signer === 'local') return;
  const found = await signing.findSent(newest);
  if (found === undefined) return;
  const checked = await signing.checkSigned(state, newest, found);
  if (checked.kind !== 'complete') return;
  const { txid, transaction, inputs, changeVouts, feeSats, weight } = checked;
  const { candidate } = newest;
  // Refused or done before: the cancel that follows is decided on what is there.
  await commands.recordSigned({ payoutId, candidate, txid, transaction, inputs, changeVouts, feeSats, weight });
}
