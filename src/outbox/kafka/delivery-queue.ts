import { invariant } from '../../platform/assert.js';

export interface Delivered {
  position: bigint;
  bytes: number;
}

/**
 * What deliveries are worth to a consumer at a position. `apply`: these come directly after it, in order. `missing`: what came next
 * is at `found`, and everything between has to be read elsewhere first. `nothing`: all that came is known already.
 */
export type Step<M> = { kind: 'apply'; messages: M[] } | { kind: 'missing'; found: bigint } | { kind: 'nothing' };

export interface Taken<M> {
  step: Step<M>;
  /** Deliveries that the consumer had already: dropped. */
  duplicates: number;
  /** The highest position among all that was looked at; 0n for none. */
  seenUpTo: bigint;
}

export interface QueueLimits {
  maxMessages: number;
  maxBytes: number;
}

/** Deliveries of one ledger for one consumer, as they came: perhaps again, perhaps with holes, perhaps out of order. Bounded. */
export interface DeliveryQueue<M extends Delivered> {
  /** Whether there is room for it. A first one always fits. */
  fits(message: M): boolean;
  /** Adds one that fits. */
  offer(message: M): void;
  /** Takes what the consumer at this position can use next. It never skips, and never hands out what is not above the position. */
  take(afterPosition: bigint, limit: number, maxBytes: number): Taken<M>;
  /** Puts back, before everything else, what was taken and not used. */
  putBack(messages: readonly M[]): void;
  /** Drops everything. */
  clear(): void;
  readonly length: number;
  readonly bytes: number;
}

/** The dead part of the array is cut off when it is this long and more than half. */
const COMPACT_AT = 1024;

export function createDeliveryQueue<M extends Delivered>(limits: QueueLimits): DeliveryQueue<M> {
  let items: M[] = [];
  let first = 0;
  let bytes = 0;

  function shift(): void {
    bytes -= items[first]?.bytes ?? 0;
    first += 1;
    if (first >= COMPACT_AT && first * 2 > items.length) {
      items = items.slice(first);
      first = 0;
    }
  }

  function fits(message: M): boolean {
    const length = items.length - first;
    return length === 0 || (length < limits.maxMessages && bytes + message.bytes <= limits.maxBytes);
  }

  return {
    fits,

    offer(message) {
      invariant(fits(message), 'what is offered must fit');
      items.push(message);
      bytes += message.bytes;
    },

    take(afterPosition, limit, maxBytes) {
      const messages: M[] = [];
      let duplicates = 0;
      let seenUpTo = 0n;
      let taken = 0;
      let expected = afterPosition + 1n;
      let found: bigint | undefined;
      for (let message = items[first]; message !== undefined; message = items[first]) {
        if (message.position > seenUpTo) seenUpTo = message.position;
        if (message.position > expected) {
          found = message.position;
          break;
        }
        if (message.position < expected) duplicates += 1;
        else {
          if (messages.length > 0 && (messages.length >= limit || taken + message.bytes > maxBytes)) break;
          messages.push(message);
          taken += message.bytes;
          expected += 1n;
        }
        shift();
      }
      if (messages.length > 0) return { step: { kind: 'apply', messages }, duplicates, seenUpTo };
      if (found !== undefined) return { step: { kind: 'missing', found }, duplicates, seenUpTo };
      return { step: { kind: 'nothing' }, duplicates, seenUpTo };
    },

    putBack(messages) {
      const back = [...messages];
      invariant(
        back.every(({ position }, index) => index === 0 || position === (back[index - 1]?.position ?? 0n) + 1n),
        'what is put back was taken in order',
      );
      items = [...back, ...items.slice(first)];
      first = 0;
      for (const message of back) bytes += message.bytes;
    },

    clear() {
      items = [];
      first = 0;
      bytes = 0;
    },

    get length() {
      return items.length - first;
    },
    get bytes() {
      return bytes;
    },
  };
}
