import type { Found } from '../../domain/events/chain-events.js';
import { postingsOf } from '../../domain/postings-of.js';
import type { ProjectedEvent } from '../projection.js';
import type { MismatchList } from './mismatch.js';

interface Reservation {
  accountId: string;
  sats: bigint;
}

interface Payout {
  /** What is in transit for it, from postings alone. */
  transitSats: bigint;
  kinds: Map<number, string>;
  /** Inputs of each signed payment that may still pay; a new round begins with none. */
  signed: { txid: string; inputs: ReadonlySet<string> }[];
}

type DataOf<T extends ProjectedEvent['type']> = Extract<ProjectedEvent, { type: T }>['data'];

/**
 * Sees every event of the log, in order, and holds payments to their promises, whatever the code that wrote them thought: a
 * withdrawal is assigned to one payout and ends once, no coin is reserved twice, any two transactions signed for one payout share an input,
 * what is set aside in the books is what is open, and nothing is left in transit when a payout is closed.
 */
export class PaymentsCheck {
  readonly #list: MismatchList;
  readonly #reservations = new Map<string, Reservation>();
  /** By account: what its open reservations come to, and what its book says. */
  readonly #open = new Map<string, bigint>();
  readonly #books = new Map<string, bigint>();
  readonly #holders = new Map<string, string>();
  readonly #payouts = new Map<string, Payout>();
  readonly #payoutOf = new Map<string, string>();

  constructor(list: MismatchList) {
    this.#list = list;
  }

  see(event: ProjectedEvent): void {
    switch (event.type) {
      case 'BlockConnected':
        if (event.block !== undefined) this.#move(event.block.found, 1n);
        return;
      case 'BlockDisconnected':
        if (event.block !== undefined) this.#move(event.block.found, -1n);
        return;
      case 'FundsReserved':
        this.#reserve(event, event.data);
        return;
      case 'FundsReleased':
        this.#end(event, event.data, BigInt(event.data.amountSats));
        return;
      case 'WithdrawalSettled': {
        const { amountSats, feeSats, releasedSats } = event.data;
        this.#end(event, event.data, BigInt(amountSats) + BigInt(feeSats) + BigInt(releasedSats));
        this.#book(event, event.data.payoutId);
        return;
      }
      case 'PayoutStarted':
        this.#start(event.data);
        return;
      case 'WithdrawalAssigned':
        this.#assign(event, event.data);
        return;
      case 'CoinsReserved':
        this.#hold(event, event.data);
        return;
      case 'CoinsReleased':
        this.#release(event, event.data);
        return;
      case 'CandidatePrepared':
        this.#prepare(event, event.data);
        return;
      case 'CandidateSigned':
        this.#sign(event, event.data);
        return;
      case 'PayoutResolved': {
        const payout = this.#payouts.get(event.data.payoutId);
        if (payout !== undefined && event.data.outcome === 'pay-again') payout.signed = [];
        this.#book(event, event.data.payoutId);
        return;
      }
      case 'PayoutSettled':
        this.#book(event, event.data.payoutId);
        return;
      case 'PayoutClosed': {
        const { payoutId } = event.data;
        this.#book(event, payoutId);
        const left = this.#payouts.get(payoutId)?.transitSats ?? 0n;
        if (left !== 0n) this.#add(event, `payout ${payoutId}`, `${left} in transit when it was closed`, '0');
        this.#payouts.delete(payoutId);
        return;
      }
      default:
        return;
    }
  }

  #reserve(event: ProjectedEvent, { withdrawalId, accountId, amountSats, maxFeeSats }: DataOf<'FundsReserved'>): void {
    if (this.#reservations.has(withdrawalId)) this.#add(event, `withdrawal ${withdrawalId}`, 'reserved twice', 'once');
    const sats = BigInt(amountSats) + BigInt(maxFeeSats ?? 0);
    this.#reservations.set(withdrawalId, { accountId, sats });
    this.#compare(event, accountId, sats);
  }

  #end(
    event: ProjectedEvent,
    { withdrawalId, accountId }: { withdrawalId: string; accountId: string },
    sats: bigint,
  ): void {
    const reservation = this.#reservations.get(withdrawalId);
    if (reservation?.accountId !== accountId || reservation.sats !== sats) {
      const open = reservation === undefined ? 'nothing' : `${reservation.sats} of ${reservation.accountId}`;
      this.#add(event, `withdrawal ${withdrawalId}`, `ends ${sats} of ${accountId}`, `${open} is reserved`);
    }
    this.#reservations.delete(withdrawalId);
    this.#compare(event, accountId, -(reservation?.sats ?? 0n));
  }

  /** The book of what is set aside, from postings, against the open reservations. */
  #compare(event: ProjectedEvent, accountId: string, change: bigint): void {
    const open = (this.#open.get(accountId) ?? 0n) + change;
    this.#open.set(accountId, open);
    const book = `reserved:${accountId}`;
    let stored = this.#books.get(book) ?? 0n;
    for (const posting of postingsOf(event, undefined)) if (posting.book === book) stored += posting.amountSats;
    this.#books.set(book, stored);
    if (stored !== -open) this.#add(event, book, `books ${-stored}`, `withdrawals ${open}`);
  }

  #start({ payoutId }: DataOf<'PayoutStarted'>): void {
    this.#payouts.set(payoutId, { transitSats: 0n, kinds: new Map(), signed: [] });
  }

  /** Two payouts may name it; one of them gets it, for good. */
  #assign(event: ProjectedEvent, { withdrawalId, payoutId }: DataOf<'WithdrawalAssigned'>): void {
    const other = this.#payoutOf.get(withdrawalId);
    if (other !== undefined) {
      this.#add(event, `withdrawal ${withdrawalId}`, `in payout ${payoutId}`, `in payout ${other} alone`);
    }
    this.#payoutOf.set(withdrawalId, payoutId);
  }

  #hold(event: ProjectedEvent, { payoutId, coins }: DataOf<'CoinsReserved'>): void {
    for (const { outpoint } of coins) {
      const holder = this.#holders.get(outpoint);
      if (holder !== undefined && holder !== payoutId) {
        this.#add(event, `coin ${outpoint}`, `reserved for ${payoutId}`, `held by ${holder}`);
      }
      this.#holders.set(outpoint, payoutId);
    }
  }

  #release(event: ProjectedEvent, { payoutId, outpoints }: DataOf<'CoinsReleased'>): void {
    for (const outpoint of outpoints) {
      const holder = this.#holders.get(outpoint);
      if (holder !== payoutId) {
        this.#add(event, `coin ${outpoint}`, `given back by ${payoutId}`, `held by ${holder ?? 'nobody'}`);
      }
      this.#holders.delete(outpoint);
    }
  }

  #prepare(event: ProjectedEvent, { payoutId, candidate, kind, transaction }: DataOf<'CandidatePrepared'>): void {
    this.#payouts.get(payoutId)?.kinds.set(candidate, kind);
    for (const { txid, vout } of transaction.inputs) {
      const outpoint = `${txid}:${vout}`;
      const holder = this.#holders.get(outpoint);
      if (holder === payoutId) continue;
      this.#add(event, `coin ${outpoint}`, `spent by payout ${payoutId}`, `held by ${holder ?? 'nobody'}`);
    }
  }

  #sign(event: ProjectedEvent, { payoutId, candidate, txid, inputs }: DataOf<'CandidateSigned'>): void {
    const payout = this.#payouts.get(payoutId);
    if (payout?.kinds.get(candidate) !== 'payment') return;
    for (const earlier of payout.signed) {
      if (inputs.some((input) => earlier.inputs.has(input))) continue;
      this.#add(event, `payout ${payoutId}`, `${txid} may confirm beside ${earlier.txid}`, 'an input of both');
    }
    payout.signed.push({ txid, inputs: new Set(inputs) });
  }

  #move(found: Found, sign: bigint): void {
    for (const { payoutId, amountSats } of found.spent) this.#transit(payoutId, sign * BigInt(amountSats));
    for (const { payoutId, amountSats } of found.received) this.#transit(payoutId, -sign * BigInt(amountSats));
  }

  #book(event: ProjectedEvent, payoutId: string): void {
    for (const { book, amountSats } of postingsOf(event, undefined)) {
      if (book === 'transit') this.#transit(payoutId, amountSats);
    }
  }

  #transit(payoutId: string | null, sats: bigint): void {
    const payout = payoutId === null ? undefined : this.#payouts.get(payoutId);
    if (payout !== undefined) payout.transitSats += sats;
  }

  #add(event: ProjectedEvent, where: string, stored: string, expected: string): void {
    this.#list.add({ kind: 'books', where, key: `position ${event.position}`, stored, expected });
  }
}
