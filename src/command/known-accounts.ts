import { boundedCache } from '../platform/bounded-cache.js';
import { accountStream } from '../domain/account/account-state.js';
import type { EventStore } from '../eventstore/event-store.js';

/** Account ids kept; some hundred bytes each. */
const MAX_KNOWN = 200_000;

/** Whether accounts exist. An account is never closed, so only "yes" can be remembered. */
export class KnownAccounts {
  readonly #known = boundedCache<string, true>(MAX_KNOWN);

  constructor(private readonly store: EventStore) {}

  async exists(accountId: string): Promise<boolean> {
    if (this.#known.has(accountId)) return true;
    const events = await this.store.readStream(accountStream(accountId), 0n, 1);
    if (events.length === 0) return false;
    this.#known.set(accountId, true);
    return true;
  }

  /** The account was opened by this process. */
  add(accountId: string): void {
    this.#known.set(accountId, true);
  }
}
