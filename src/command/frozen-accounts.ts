import { accountStream, availableSats } from '../domain/account/account-state.js';
import { isSigned } from '../domain/payout/payout-candidates.js';
import type { PayoutState } from '../domain/payout/payout-state.js';
import { reject, type Rejection } from '../domain/rejection.js';
import type { CommandParts } from './command-parts.js';

/**
 * Why nothing is to be signed for a payout now: a reorg left an account that it pays for below zero. Undefined where it may be, and where
 * something is signed already: from then on nothing leads back.
 */
export async function frozenRefusal(parts: CommandParts, state: PayoutState): Promise<Rejection | undefined> {
  if (state.phase !== 'prepared' || isSigned(state)) return undefined;
  const ids = [...new Set(state.withdrawals.map(({ accountId }) => accountId))];
  if ((await firstFrozen(parts, ids)) === undefined) return undefined;
  // What came in may be known by now.
  await parts.reads.catchUp();
  const frozen = await firstFrozen(parts, ids);
  if (frozen === undefined) return undefined;
  const detail = `A reorg left account '${frozen}' below zero; nothing is signed for it until that is covered.`;
  return reject('payout-not-ready', detail);
}

async function firstFrozen({ accounts, reads }: CommandParts, ids: readonly string[]): Promise<string | undefined> {
  const available = await Promise.all(
    ids.map(async (id) => availableSats(await accounts.read(accountStream(id)), await reads.creditsSats(id))),
  );
  return ids.find((_, at) => (available[at] ?? 0n) < 0n);
}
