import type { BlockConnected, Found, TransfersFound } from '../../src/domain/events/chain-events.js';
import type { DomainEvent } from '../../src/domain/events/event-types.js';
import { postingsOf } from '../../src/domain/postings-of.js';

/** Balances of all books, event by event, from postings alone. */
export class BooksModel {
  readonly balances = new Map<string, bigint>();
  readonly #blocks = new Map<string, Found>();
  #parts: Found[] = [];

  /** Answers what is wrong with the postings of the event. */
  take(event: DomainEvent): string | undefined {
    if (event.type === 'TransfersFound') this.#parts.push((event.data satisfies TransfersFound).found);
    if (event.type === 'BlockConnected') this.#blocks.set(event.data.hash, this.#joined(event.data));
    const isBlock = event.type === 'BlockConnected' || event.type === 'BlockDisconnected';
    const postings = postingsOf(event, isBlock ? this.#blocks.get(event.data.hash) : undefined);
    let sum = 0n;
    for (const { book, amountSats } of postings) {
      this.balances.set(book, this.of(book) + amountSats);
      sum += amountSats;
    }
    return sum === 0n ? undefined : `the postings of ${event.type} sum to ${sum}`;
  }

  of(book: string): bigint {
    return this.balances.get(book) ?? 0n;
  }

  #joined({ found, parts }: BlockConnected): Found {
    const before = this.#parts.splice(0);
    // What a process that died in between left belongs to no block.
    const all = [...before.slice(before.length - parts), found];
    return {
      received: all.flatMap(({ received }) => received),
      spent: all.flatMap(({ spent }) => spent),
      funding: all.flatMap(({ funding }) => funding),
      conflicts: all.flatMap(({ conflicts }) => conflicts),
    };
  }
}
