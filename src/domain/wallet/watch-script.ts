import type { DomainEvent } from '../events/event-types.js';
import { hasRecentId } from '../recent-ids.js';
import { reject, type Rejection } from '../rejection.js';
import type { WalletState } from './wallet-state.js';

export interface WatchScript {
  walletId: string;
  accountId: string | null;
  script: string;
  address: string | null;
}

export interface WatchFacts {
  /** True where no account was named. */
  accountExists: boolean;
  /** The wallet that watches this script already. */
  watchedBy: string | undefined;
}

/** Watches a script by hand. The first watcher of a script owns what it receives, so a second one is refused. */
export function watchScript(command: WatchScript, state: WalletState, facts: WatchFacts): DomainEvent[] | Rejection {
  if (state.created === null) return reject('wallet-not-found', `There is no wallet '${command.walletId}'.`);
  if (!facts.accountExists) return reject('account-not-found', `There is no account '${command.accountId}'.`);
  if (facts.watchedBy !== undefined) {
    return reject('script-already-watched', `Wallet '${facts.watchedBy}' watches this script already.`);
  }
  if (hasRecentId(state.recentScripts, command.script)) {
    return reject('script-already-watched', `Wallet '${command.walletId}' watches this script already.`);
  }
  return [{ type: 'ScriptWatched', data: { ...command } }];
}
