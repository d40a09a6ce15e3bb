import type { GraphQLFieldResolver } from 'graphql';
import { ReadError } from '../../errors.js';
import type { Reader } from '../../reader.js';
import { loadAccount } from './account.js';
import { loadPayout, loadWithdrawal } from './load-payments.js';

/** One state of a subscription: a reader of its own, at the newest position. */
export interface StateSource {
  reader: Reader;
}

export interface SubscriptionContext {
  /** A state at once, then one whenever there may be another; ends when the client goes. */
  states: () => AsyncIterableIterator<StateSource>;
}

interface SubscriptionField {
  subscribe: GraphQLFieldResolver<unknown, SubscriptionContext>;
  resolve: GraphQLFieldResolver<StateSource, SubscriptionContext>;
}

export const SUBSCRIPTION: Readonly<Record<'ledger' | 'account' | 'withdrawal' | 'payout', SubscriptionField>> = {
  ledger: {
    subscribe: (_root, _args, { states }) => states(),
    resolve: async ({ reader }, _args, _context, { path }) => ({
      view: await reader.view(undefined, String(path.key)),
    }),
  },
  account: {
    subscribe: (_root, _args, { states }) => states(),
    resolve: async ({ reader }, { id }: { id: string }, _context, { path }) => {
      const found = await loadAccount(await reader.view(undefined, String(path.key)), id);
      if (found === undefined)
        throw new ReadError('BAD_USER_INPUT', `id: there is no account ${id}`, { argument: 'id' });
      return found;
    },
  },
  withdrawal: {
    subscribe: (_root, _args, { states }) => states(),
    resolve: async ({ reader }, { id }: { id: string }, _context, { path }) => {
      const found = await loadWithdrawal(await reader.view(undefined, String(path.key)), id);
      if (found === undefined) {
        throw new ReadError('BAD_USER_INPUT', `id: there is no withdrawal ${id}`, { argument: 'id' });
      }
      return found;
    },
  },
  payout: {
    subscribe: (_root, _args, { states }) => states(),
    resolve: async ({ reader }, { id }: { id: string }, _context, { path }) => {
      const found = await loadPayout(await reader.view(undefined, String(path.key)), id);
      if (found === undefined) {
        throw new ReadError('BAD_USER_INPUT', `id: there is no payout ${id}`, { argument: 'id' });
      }
      return found;
    },
  },
};
