import { EVENT_TYPES } from '../../domain/events/event-types.js';
import type { Found } from '../../domain/events/chain-events.js';
import { postingsOf } from '../../domain/postings-of.js';
import type { AssembledBlock, ProjectedEvent } from '../projection.js';
import type { MismatchList } from './mismatch.js';
import { PaymentsCheck } from './payments-check.js';

/**
 * Sees every event of the log, in order, and keeps two sets of books of its own: one from postings, one from coins. They must agree
 * after every event, and nothing else is looked at.
 */
export class BooksCheck {
  readonly #list: MismatchList;
  /** By book, from postings. */
  readonly #books = new Map<string, bigint>();
  /** By wallet, from coins. */
  readonly #holdings = new Map<string, bigint>();
  readonly #unspent = new Map<string, { walletId: string; amountSats: bigint }>();

  readonly #payments: PaymentsCheck;

  constructor(list: MismatchList) {
    this.#list = list;
    this.#payments = new PaymentsCheck(list);
  }

  get mismatches(): MismatchList {
    return this.#list;
  }

  see(event: ProjectedEvent): void {
    this.#checkSchema(event);
    this.#checkPostings(event);
    this.#payments.see(event);
    if (event.block !== undefined) this.#checkHoldings(event, event.block);
  }

  #checkSchema(event: ProjectedEvent): void {
    const parsed = EVENT_TYPES[event.type].schema.safeParse(event.data);
    if (parsed.success) return;
    const [issue] = parsed.error.issues;
    this.#list.add({
      kind: 'event',
      where: event.stream,
      key: `position ${event.position}`,
      stored: `${event.type}: ${issue?.path.join('/') ?? ''}`,
      expected: issue?.message ?? null,
    });
  }

  #checkPostings(event: ProjectedEvent): void {
    const key = `position ${event.position}`;
    let sum = 0n;
    for (const { book, amountSats } of postingsOf(event, event.block?.found)) {
      sum += amountSats;
      this.#books.set(book, (this.#books.get(book) ?? 0n) + amountSats);
    }
    if (sum !== 0n) {
      this.#list.add({ kind: 'postings', where: event.type, key, stored: `sum ${sum}`, expected: 'sum 0' });
    }
    if (event.type !== 'TransferSent') return;
    const { fromAccountId, toAccountId, amountSats } = event.data;
    const expected = `account:${fromAccountId} ${amountSats}, account:${toAccountId} -${amountSats}`;
    const stored = event.data.postings.map(({ book, amountSats: amount }) => `${book} ${amount}`).join(', ');
    if (stored !== expected) this.#list.add({ kind: 'postings', where: event.type, key, stored, expected });
  }

  #checkHoldings(event: ProjectedEvent, block: AssembledBlock): void {
    if (event.type === 'BlockConnected') this.#connect(event, block.found);
    else this.#disconnect(event, block.found);
    const wallets = new Set([...block.found.received, ...block.found.spent].map(({ walletId }) => walletId));
    for (const walletId of wallets) {
      const stored = this.#books.get(`wallet:${walletId}`) ?? 0n;
      const expected = this.#holdings.get(walletId) ?? 0n;
      if (stored === expected) continue;
      this.#list.add({
        kind: 'books',
        where: `wallet:${walletId}`,
        key: `position ${event.position}`,
        stored: `books ${stored}`,
        expected: `coins ${expected}`,
      });
    }
  }

  #connect(event: ProjectedEvent, found: Found): void {
    for (const { txid, vout, walletId, amountSats } of found.received) {
      this.#gain(event, `${txid}:${vout}`, walletId, BigInt(amountSats));
    }
    for (const { prevTxid, prevVout } of found.spent) this.#lose(event, `${prevTxid}:${prevVout}`);
  }

  #disconnect(event: ProjectedEvent, found: Found): void {
    for (const { prevTxid, prevVout, walletId, amountSats } of found.spent) {
      this.#gain(event, `${prevTxid}:${prevVout}`, walletId, BigInt(amountSats));
    }
    for (const { txid, vout } of found.received) this.#lose(event, `${txid}:${vout}`);
  }

  #gain(event: ProjectedEvent, outpoint: string, walletId: string, amountSats: bigint): void {
    if (this.#unspent.has(outpoint)) this.#coinTrouble(event, outpoint, 'unspent twice', 'once');
    this.#unspent.set(outpoint, { walletId, amountSats });
    this.#holdings.set(walletId, (this.#holdings.get(walletId) ?? 0n) + amountSats);
  }

  #lose(event: ProjectedEvent, outpoint: string): void {
    const coin = this.#unspent.get(outpoint);
    if (coin === undefined) {
      this.#coinTrouble(event, outpoint, 'spent or taken back', 'an unspent coin');
      return;
    }
    this.#unspent.delete(outpoint);
    this.#holdings.set(coin.walletId, (this.#holdings.get(coin.walletId) ?? 0n) - coin.amountSats);
  }

  #coinTrouble(event: ProjectedEvent, outpoint: string, stored: string, expected: string): void {
    this.#list.add({ kind: 'books', where: `coin ${outpoint}`, key: `position ${event.position}`, stored, expected });
  }
}
