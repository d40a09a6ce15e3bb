import { LRUCache } from 'lru-cache';
import type { BlockConnected, BlockDisconnected, TransfersFound } from '../domain/events/chain-events.js';
import type { DomainEvent } from '../domain/events/event-types.js';
import { isEventType } from '../domain/events/event-types.js';
import type { RecordedEvent } from '../eventstore/event-store.js';
import type { Agenda } from './agenda.js';

/** Blocks whose payouts are remembered: a reorg is seldom deeper, and then the sweep finds them. */
const REMEMBERED_BLOCKS = 1_000;

export interface Noticed {
  /** There may be withdrawals to be paid, or coins for those that wait. */
  wallets: boolean;
  /** The chain has moved: something may be due. */
  chain: boolean;
  /** A block was taken off whose payouts are not remembered: all open ones are to be looked at. */
  sweep: boolean;
  /** A withdrawal or a payout ended: something is to be finished. */
  ends: boolean;
}

/** Notices in the events what there may be to do, and wakes the payouts concerned. Hints only: what is to be done is read, not remembered. */
export class FeedWatch {
  readonly #payoutsOfBlock = new LRUCache<string, readonly string[]>({ max: REMEMBERED_BLOCKS });
  #inOpenBlock: string[] = [];

  constructor(private readonly agenda: Pick<Agenda, 'wake' | 'hurry'>) {}

  notice(events: readonly RecordedEvent[]): Noticed {
    const noticed: Noticed = { wallets: false, chain: false, sweep: false, ends: false };
    for (const { type, data } of events) {
      // Checked when it was written, upcast when it was read.
      if (isEventType(type)) this.#one({ type, data } as DomainEvent, noticed);
    }
    return noticed;
  }

  #one(event: DomainEvent, noticed: Noticed): void {
    switch (event.type) {
      case 'FundsReserved':
      case 'CoinsReleased':
        noticed.wallets = true;
        return;
      case 'TransfersFound':
        this.#inOpenBlock.push(...payoutsIn(event.data));
        return;
      case 'BlockConnected':
        this.#connected(event.data, noticed);
        return;
      case 'BlockDisconnected':
        this.#disconnected(event.data, noticed);
        return;
      case 'WithdrawalRemoved':
      case 'WithdrawalCancelled':
      case 'PayoutCancelled':
        noticed.ends = true;
        if ('payoutId' in event.data) this.agenda.wake(event.data.payoutId);
        return;
      case 'PayoutStarted':
      case 'CandidateSigned':
        this.agenda.wake(event.data.payoutId);
        return;
      case 'BumpRequested':
      case 'PayoutResolved':
        noticed.ends = true;
        this.agenda.hurry(event.data.payoutId);
        return;
      default:
        return;
    }
  }

  #connected(block: BlockConnected, noticed: Noticed): void {
    const payouts = [...new Set([...this.#inOpenBlock, ...payoutsIn(block)])];
    this.#inOpenBlock = [];
    this.#payoutsOfBlock.set(block.hash, payouts);
    for (const payoutId of payouts) this.agenda.wake(payoutId);
    noticed.chain = true;
    noticed.wallets = true;
  }

  #disconnected({ hash }: BlockDisconnected, noticed: Noticed): void {
    const payouts = this.#payoutsOfBlock.get(hash);
    for (const payoutId of payouts ?? []) this.agenda.hurry(payoutId);
    this.#inOpenBlock = [];
    noticed.chain = true;
    noticed.sweep ||= payouts === undefined;
  }
}

function payoutsIn({ found }: Pick<TransfersFound, 'found'>): string[] {
  return found.spent.flatMap(({ payoutId }) => (payoutId === null ? [] : [payoutId]));
}
