import { listHistory } from '../../sql/list-history.js';
import type { WithdrawalRecord } from '../../sql/read-withdrawals.js';
import type { FieldResolvers } from '../resolver.js';
import { loadBlock } from './block.js';
import { loadPayout, loadSigned } from './load-payments.js';
import type { WithdrawalSource } from './load-payments.js';

export const WITHDRAWAL: FieldResolvers = {
  id: ({ withdrawalId }: WithdrawalSource) => withdrawalId,
  candidates: async ({ paidBy, view }: WithdrawalSource) => {
    if (paidBy === null) return [];
    const signed = await loadSigned(view, paidBy);
    return signed.filter(({ kind, isVoid }) => kind === 'payment' && !isVoid).map(({ txid }) => txid);
  },
  block: ({ blockHash, view }: WithdrawalSource) => (blockHash === null ? null : loadBlock(view, blockHash)),
  payout: ({ payoutId, view }: WithdrawalSource) => (payoutId === null ? null : loadPayout(view, payoutId)),
  waitReason: ({ reason, status }: WithdrawalSource) => (isOver(status) ? null : reason),
  waitDetail: ({ detail, status }: WithdrawalSource) => (isOver(status) ? null : detail),
  endReason: ({ reason, status }: WithdrawalSource) => (isOver(status) ? reason : null),
  history: async ({ withdrawalId, view }: WithdrawalSource) => {
    const events = await view.load('history', withdrawalId, (ids: readonly string[]) =>
      listHistory(view.database, view.at, ids),
    );
    return events ?? [];
  },
};

function isOver(status: WithdrawalRecord['status']): boolean {
  return status === 'cancelled' || status === 'failed';
}
