import type { Found } from '../../domain/events/chain-events.js';
import type { CandidatePrepared, CandidateSigned } from '../../domain/events/payout-events.js';

/**
 * Transactions that the ledger made itself, by txid: what they spend did not go to strangers. Kept until their payout is closed,
 * some 300 bytes each.
 */
export interface Payments {
  /** A signer that broadcasts on its own broadcasts what was prepared: where that has a txid already, it is the payout's own. */
  prepare(prepared: CandidatePrepared): void;
  sign(signed: CandidateSigned): void;
  /** What was prepared and not signed is not to be signed any more: whoever mines it is a stranger. Answers the txids. */
  voidUnsigned(payoutId: string): string[];
  /** Buried: it is not looked for again. */
  close(payoutId: string): void;
  /** A block with payments was taken off: they may come again, also those of closed payouts. */
  restore(found: Found): void;
  /** The payout whose transaction this is; null for all others. */
  payoutOf(txid: string): string | null;
  /** The payout whose change this output is; null for all others. */
  payoutOfChange(txid: string, vout: number): string | null;
  /** What was written of a block says something else of a payment than is known now. */
  disagreesWith(found: Found): boolean;
}

interface Payment {
  payoutId: string;
  changeVouts: readonly number[];
  isSigned: boolean;
  isVoid: boolean;
}

export function createPayments(): Payments {
  const payments = new Map<string, Payment>();
  const ofPayout = new Map<string, Set<string>>();

  const put = (txid: string, payment: Payment): void => {
    payments.set(txid, payment);
    const txids = ofPayout.get(payment.payoutId);
    if (txids) txids.add(txid);
    else ofPayout.set(payment.payoutId, new Set([txid]));
  };
  const own = (txid: string): Payment | undefined => {
    const payment = payments.get(txid);
    return payment && (payment.isSigned || !payment.isVoid) ? payment : undefined;
  };
  const payoutOf = (txid: string): string | null => own(txid)?.payoutId ?? null;
  const payoutOfChange = (txid: string, vout: number): string | null => {
    const payment = own(txid);
    return payment?.changeVouts.includes(vout) === true ? payment.payoutId : null;
  };

  return {
    prepare({ payoutId, transaction }) {
      if (transaction.txid === null) return;
      const changeVouts = transaction.outputs.flatMap(({ withdrawalId }, vout) =>
        withdrawalId === null ? [vout] : [],
      );
      put(transaction.txid, { payoutId, changeVouts, isSigned: false, isVoid: false });
    },
    sign({ payoutId, txid, changeVouts }) {
      put(txid, { payoutId, changeVouts, isSigned: true, isVoid: false });
    },
    voidUnsigned(payoutId) {
      const voided: string[] = [];
      for (const txid of ofPayout.get(payoutId) ?? []) {
        const payment = payments.get(txid);
        if (payment === undefined || payment.isSigned || payment.isVoid) continue;
        payment.isVoid = true;
        voided.push(txid);
      }
      return voided;
    },
    close(payoutId) {
      for (const txid of ofPayout.get(payoutId) ?? []) payments.delete(txid);
      ofPayout.delete(payoutId);
    },
    restore(found) {
      for (const { txid, payoutId } of found.spent) {
        if (payoutId === null || payments.has(txid)) continue;
        const change = found.received.filter((output) => output.txid === txid && output.payoutId !== null);
        put(txid, { payoutId, changeVouts: change.map(({ vout }) => vout), isSigned: true, isVoid: false });
      }
    },
    payoutOf,
    payoutOfChange,
    disagreesWith: ({ received, spent }) =>
      spent.some(({ txid, payoutId }) => payments.has(txid) && payoutOf(txid) !== payoutId) ||
      received.some(({ txid, vout, payoutId }) => payments.has(txid) && payoutOfChange(txid, vout) !== payoutId),
  };
}
