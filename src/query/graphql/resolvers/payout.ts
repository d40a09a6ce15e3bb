import { listCandidates, listMembers, readRawTransactions } from '../../sql/list-candidates.js';
import type { CandidateRecord, SignedRecord } from '../../sql/list-candidates.js';
import type { View } from '../../reader.js';
import { confirmationsAt } from '../confirmations.js';
import type { FieldResolvers } from '../resolver.js';
import { loadBlock } from './block.js';
import { loadSigned, loadWithdrawal } from './load-payments.js';
import type { PayoutSource } from './load-payments.js';
import { loadWallet } from './wallet.js';

interface CandidateSource extends CandidateRecord {
  view: View;
  signed: readonly SignedRecord[];
}

interface SignedSource extends SignedRecord {
  view: View;
}

async function candidatesOf({ payoutId, view }: PayoutSource): Promise<CandidateSource[]> {
  const [candidates, signed] = await Promise.all([
    view.load('candidates', payoutId, (ids: readonly string[]) => listCandidates(view.database, view.at, ids)),
    loadSigned(view, payoutId),
  ]);
  return (candidates ?? []).map((candidate) => ({
    ...candidate,
    view,
    signed: signed.filter((transaction) => transaction.candidate === candidate.candidate),
  }));
}

async function withdrawalsOf({ payoutId, view }: PayoutSource): Promise<object[]> {
  const ids = await view.load('members', payoutId, (wanted: readonly string[]) =>
    listMembers(view.database, view.at, wanted),
  );
  const withdrawals = await Promise.all((ids ?? []).map((id) => loadWithdrawal(view, id)));
  return withdrawals.filter((withdrawal) => withdrawal !== undefined);
}

export const PAYOUT: FieldResolvers = {
  id: ({ payoutId }: PayoutSource) => payoutId,
  wallet: ({ walletId, view }: PayoutSource) => loadWallet(view, walletId),
  withdrawals: withdrawalsOf,
  candidates: candidatesOf,
  block: ({ blockHash, view }: PayoutSource) => (blockHash === null ? null : loadBlock(view, blockHash)),
};

export const PAYOUT_CANDIDATE: FieldResolvers = {
  number: ({ candidate }: CandidateSource) => candidate,
  txid: ({ signed, plannedTxid }: CandidateSource) => signed[0]?.txid ?? plannedTxid,
  // Amounts in an event are decimal strings.
  inputs: ({ plan }: CandidateSource) =>
    plan.inputs.map((input) => ({ ...input, amountSats: BigInt(input.amountSats) })),
  outputs: ({ plan }: CandidateSource) =>
    plan.outputs.map((output) => ({
      ...output,
      amountSats: BigInt(output.amountSats),
      change: output.changeIndex !== null,
    })),
  transactions: ({ signed, view }: CandidateSource): SignedSource[] =>
    signed.map((transaction) => ({ ...transaction, view })),
};

export const SIGNED_TRANSACTION: FieldResolvers = {
  raw: ({ txid, view }: SignedSource) =>
    view.load('raw-transaction', txid, (txids: readonly string[]) => readRawTransactions(view.database, txids)),
  confirmations: ({ blockHeight, view }: SignedSource) => confirmationsAt(view.at, blockHeight),
  block: ({ blockHash, view }: SignedSource) => (blockHash === null ? null : loadBlock(view, blockHash)),
};
