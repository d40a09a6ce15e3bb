import type { DomainEvent, EventType } from '../../src/domain/events/event-types.js';
import { isEventType } from '../../src/domain/events/event-types.js';
import type { FundsReserved } from '../../src/domain/events/withdrawal-events.js';
import type { CandidatePrepared, CandidateSigned, PayoutStarted } from '../../src/domain/events/payout-events.js';
import type { RecordedEvent } from '../../src/eventstore/event-store.js';
import type { Outbox } from '../../src/outbox/outbox.js';
import { BooksModel } from './books-model.js';
import type { SimulatedChain } from './simulated-chain.js';

const PAGE = 1_000;

export interface AuditedWithdrawal {
  requested: FundsReserved;
  payoutId: string | null;
  /** How it ended in the log; null while it is open. */
  end: 'cancelled' | 'failed' | 'settled' | null;
  /** The reservation was given back or settled. */
  isOver: boolean;
  feeSats: bigint;
}

export interface AuditedPayout {
  started: PayoutStarted;
  prepared: (CandidatePrepared & { round: number; isVoid: boolean })[];
  signed: (CandidateSigned & { round: number })[];
  /** How many times a person had it pay again. */
  round: number;
  halted: { byTxid: string } | null;
  resolved: { outcome: string; byTxid: string } | null;
  settledTxid: string | null;
  end: 'closed' | 'cancelled' | null;
}

/**
 * Reads the whole log, event by event, with rules of its own, and asks the chain itself. Knows nothing of how the ledger decides.
 */
export class Auditor {
  readonly books = new BooksModel();
  readonly withdrawals = new Map<string, AuditedWithdrawal>();
  readonly payouts = new Map<string, AuditedPayout>();
  readonly reserved = new Map<string, string>();
  readonly problems: string[] = [];
  readonly types = new Map<string, number>();
  position = 0n;
  /** Is shown every event. */
  onEvent: ((event: DomainEvent) => void) | undefined;

  constructor(
    private readonly chain: SimulatedChain,
    private readonly depths: { completeAt: number; finalAt: number },
  ) {}

  async read(outbox: Pick<Outbox, 'read'>): Promise<void> {
    for (;;) {
      const page = await outbox.read(this.position, PAGE);
      for (const event of page) this.#take(event);
      if (page.length < PAGE) return;
    }
  }

  problem(what: string): void {
    this.problems.push(what);
  }

  payout(payoutId: string): AuditedPayout {
    const payout = this.payouts.get(payoutId);
    if (payout === undefined) throw new Error(`there is no payout ${payoutId}`);
    return payout;
  }

  withdrawal(withdrawalId: string): AuditedWithdrawal {
    const withdrawal = this.withdrawals.get(withdrawalId);
    if (withdrawal === undefined) throw new Error(`there is no withdrawal ${withdrawalId}`);
    return withdrawal;
  }

  #take({ position, type, data, stream }: RecordedEvent): void {
    if (position !== this.position + 1n) this.problem(`after position ${this.position} comes ${position}`);
    this.position = position;
    this.types.set(type, (this.types.get(type) ?? 0) + 1);
    if (!isEventType(type)) throw new Error(`unknown event ${type} on ${stream}`);
    const event = { type, data } as DomainEvent;
    const unbalanced = this.books.take(event);
    if (unbalanced !== undefined) this.problem(`${unbalanced} at position ${position}`);
    this.onEvent?.(event);
    this.#money(event);
    this.#coins(event);
    this.#payment(event);
  }

  #money(event: DomainEvent): void {
    switch (event.type) {
      case 'FundsReserved':
        this.#once(event.type, !this.withdrawals.has(event.data.withdrawalId), event.data.withdrawalId);
        this.withdrawals.set(event.data.withdrawalId, {
          requested: event.data,
          payoutId: null,
          end: null,
          isOver: false,
          feeSats: 0n,
        });
        return;
      case 'WithdrawalAssigned': {
        const withdrawal = this.withdrawal(event.data.withdrawalId);
        this.#once(event.type, withdrawal.payoutId === null && withdrawal.end === null, event.data.withdrawalId);
        withdrawal.payoutId = event.data.payoutId;
        return;
      }
      case 'WithdrawalCancelled':
      case 'WithdrawalFailed': {
        const withdrawal = this.withdrawal(event.data.withdrawalId);
        this.#once(event.type, withdrawal.end === null, event.data.withdrawalId);
        withdrawal.end = event.type === 'WithdrawalFailed' ? 'failed' : 'cancelled';
        return;
      }
      case 'FundsReleased': {
        const withdrawal = this.withdrawal(event.data.withdrawalId);
        this.#once(event.type, !withdrawal.isOver && withdrawal.end === event.data.reason, event.data.withdrawalId);
        withdrawal.isOver = true;
        return;
      }
      case 'WithdrawalSettled': {
        const withdrawal = this.withdrawal(event.data.withdrawalId);
        const { amountSats, feeSats, withdrawalId } = event.data;
        this.#once(event.type, !withdrawal.isOver && withdrawal.end === null, withdrawalId);
        withdrawal.isOver = true;
        withdrawal.end = 'settled';
        withdrawal.feeSats = BigInt(feeSats);
        const { requested } = withdrawal;
        if (amountSats !== requested.amountSats) this.problem(`${withdrawalId} is settled with another amount`);
        if (BigInt(feeSats) > BigInt(requested.maxFeeSats ?? 0)) {
          this.problem(`${withdrawalId} pays a fee of ${feeSats}, and allowed ${requested.maxFeeSats ?? 'none'}`);
        }
        return;
      }
      default:
        return;
    }
  }

  #once(type: EventType, isRight: boolean, id: string): void {
    if (!isRight) this.problem(`${type} of ${id} comes twice, or too late`);
  }

  #coins(event: DomainEvent): void {
    if (event.type === 'CoinsReserved') {
      const { coins, payoutId } = event.data;
      for (const { outpoint } of coins) {
        const by = this.reserved.get(outpoint);
        if (by !== undefined) this.problem(`${outpoint} is reserved for ${payoutId}, and ${by} has it`);
        this.reserved.set(outpoint, payoutId);
      }
    }
    if (event.type === 'CoinsReleased') {
      const { outpoints, payoutId, reason } = event.data;
      for (const outpoint of outpoints) {
        if (this.reserved.get(outpoint) !== payoutId)
          this.problem(`${outpoint} is given back by ${payoutId}, which does not have it`);
        this.reserved.delete(outpoint);
        const wrong = this.#wronglyReleased(payoutId, outpoint, reason);
        if (wrong !== undefined) this.problem(`${outpoint} is given back as ${reason} by ${payoutId}, and ${wrong}`);
      }
    }
  }

  /** A coin is free again when its spend is buried, or nothing that was signed can spend it any more. */
  #wronglyReleased(payoutId: string, outpoint: string, reason: string): string | undefined {
    const alive = this.payout(payoutId).signed.filter(
      ({ inputs }) =>
        inputs.includes(outpoint) &&
        !inputs.some((input) => this.#isBuried(input) || this.#isExtinct(input.slice(0, 64))),
    );
    if (alive.length === 0) return undefined;
    return `${alive.map(({ txid }) => txid).join(', ')} can still confirm (${reason})`;
  }

  #isBuried(outpoint: string): boolean {
    const spend = this.chain.spendOf(outpoint);
    return spend !== undefined && this.chain.depthOf(spend.height) >= this.depths.finalAt;
  }

  /** It can never be in a block of this branch any more: a coin of it was taken by another, and that is buried. */
  #isExtinct(txid: string): boolean {
    return (this.chain.known.get(txid)?.inputs ?? []).some(
      (input) =>
        (this.#isBuried(input) && this.chain.spendOf(input)?.txid !== txid) || this.#isExtinct(input.slice(0, 64)),
    );
  }

  #payment(event: DomainEvent): void {
    switch (event.type) {
      case 'PayoutStarted':
        this.payouts.set(event.data.payoutId, {
          started: event.data,
          prepared: [],
          signed: [],
          round: 0,
          halted: null,
          resolved: null,
          settledTxid: null,
          end: null,
        });
        return;
      case 'WithdrawalRemoved': {
        const payout = this.payout(event.data.payoutId);
        const { withdrawalId } = event.data;
        if (payout.signed.some(({ round }) => round === payout.round))
          this.problem(`${withdrawalId} is removed after a signature`);
        if (payout.halted !== null)
          this.problem(`${withdrawalId} is removed from ${event.data.payoutId}, which is halted`);
        for (const candidate of payout.prepared) candidate.isVoid = true;
        return;
      }
      case 'CandidatePrepared': {
        const payout = this.payout(event.data.payoutId);
        for (const { txid, vout } of event.data.transaction.inputs) {
          if (this.reserved.get(`${txid}:${vout}`) !== event.data.payoutId) {
            this.problem(`${event.data.payoutId} prepares to spend ${txid}:${vout}, which is not reserved for it`);
          }
        }
        payout.prepared.push({ ...event.data, round: payout.round, isVoid: false });
        return;
      }
      case 'CandidateSigned': {
        const payout = this.payout(event.data.payoutId);
        const candidate = payout.prepared[event.data.candidate];
        if (candidate === undefined || candidate.isVoid) this.problem(`${event.data.txid} is signed, and is void`);
        payout.signed.push({ ...event.data, round: candidate?.round ?? payout.round });
        return;
      }
      case 'PayoutHalted':
        this.payout(event.data.payoutId).halted = { byTxid: event.data.byTxid };
        return;
      case 'PayoutResumed':
        this.payout(event.data.payoutId).halted = null;
        return;
      case 'PayoutResolved': {
        const payout = this.payout(event.data.payoutId);
        payout.halted = null;
        payout.resolved = { outcome: event.data.outcome, byTxid: event.data.byTxid };
        if (event.data.outcome === 'pay-again') {
          payout.round += 1;
          for (const candidate of payout.prepared) candidate.isVoid = true;
        }
        return;
      }
      case 'PayoutSettled':
        if (this.payout(event.data.payoutId).settledTxid !== null)
          this.problem(`${event.data.payoutId} is settled twice`);
        this.payout(event.data.payoutId).settledTxid = event.data.txid;
        return;
      case 'PayoutClosed':
        this.payout(event.data.payoutId).end = 'closed';
        return;
      case 'PayoutCancelled':
        this.payout(event.data.payoutId).end = 'cancelled';
        return;
      default:
        return;
    }
  }
}
