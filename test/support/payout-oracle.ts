import { TAKEN } from '../../src/projections/models/payouts-candidates.js';
import type { ToldEvent } from './ledger-log.js';
import { oracleAt } from './ledger-oracle.js';

/**
 * What withdrawals and payouts must say as of (position, height), from the definitions: of the books counts what was recorded by
 * then with the tip at or below the height, up to the last such event of the row; of the chain the blocks up to the height.
 */
export interface OracleWithdrawal {
  status: string;
  confirmations: number;
  candidates: string[];
}

export interface PayoutOracle {
  withdrawals: Map<string, OracleWithdrawal>;
  payouts: Map<string, string>;
  /** By account. */
  reserved: Map<string, bigint>;
  /** Coins that payouts hold, in connected blocks and unspent. */
  reservedCoins: bigint;
}

type Type = ToldEvent['type'];

/** Which events write a version of which row. */
const WITHDRAWAL_TYPES = new Set<Type>([
  'FundsReserved',
  'WithdrawalDeferred',
  'WithdrawalAssigned',
  'WithdrawalCancelled',
  'FundsReleased',
  'WithdrawalSettled',
  'PayoutStarted',
  'PayoutSettled',
  'PayoutClosed',
  'PayoutCancelled',
  'WithdrawalRemoved',
]);

export function payoutOracleAt(events: readonly ToldEvent[], position: number, height: number): PayoutOracle {
  const heights = tipHeights(events);
  const counts = (index: number): boolean => index < position && (heights[index] ?? -1) <= height;
  const chain = oracleAt(events, position);
  const top = Math.min(height, chain.tip?.height ?? -1);
  const blocks = chain.chain.filter((block) => block.height <= height);
  const heightOf = (txid: string): number | undefined =>
    blocks.find(({ found }) => found.spent.some((spent) => spent.txid === txid))?.height;
  const wasMined = (txid: string): boolean =>
    chain.everConnected.some(
      (block) => block.height <= height && block.found.spent.some((spent) => spent.txid === txid),
    );
  /** Events up to the last one that counts of those that concern a row. */
  const upToLast = (concerns: (event: ToldEvent) => boolean): ToldEvent[] => {
    let last = -1;
    events.forEach((event, index) => {
      if (counts(index) && concerns(event)) last = index;
    });
    return events.slice(0, last + 1).filter(concerns);
  };

  const result: PayoutOracle = {
    withdrawals: new Map(),
    payouts: new Map(),
    reserved: new Map(),
    reservedCoins: 0n,
  };
  events.forEach((event, index) => {
    if (!counts(index)) return;
    if (event.type === 'PayoutStarted') {
      result.payouts.set(event.data.payoutId, payoutStatus(event.data.payoutId).status);
    }
    if (event.type === 'FundsReserved') result.withdrawals.set(event.data.withdrawalId, withdrawal(event.data));
    const moved = reservedBy(event);
    if (moved) result.reserved.set(moved.account, (result.reserved.get(moved.account) ?? 0n) + moved.sats);
  });
  result.reservedCoins = heldCoins();
  return result;

  function payoutStatus(payoutId: string): { status: string; confirmations: number; candidates: string[] } {
    const own = upToLast((event) => 'payoutId' in event.data && event.data.payoutId === payoutId && isPayoutRow(event));
    const since = Math.max(...own.map((event, index) => (event.type === 'WithdrawalRemoved' ? index : -1)), -1);
    const transactions = new Map<string, { isVoid: boolean; isSigned: boolean; signedAt: number }>();
    for (const txid of txidsOf(payoutId)) {
      const told = upToLast((event) => concernsTransaction(event, payoutId, txid));
      if (told.length === 0) continue;
      const isSigned = told.some(({ type }) => type === 'CandidateSigned');
      const isVoid = !isSigned && told.some(({ type }) => type === 'WithdrawalRemoved');
      const signedAt = events.findIndex((event) => event.type === 'CandidateSigned' && event.data.txid === txid);
      transactions.set(txid, { isVoid, isSigned, signedAt });
    }
    const live = [...transactions].filter(([, { isVoid }]) => !isVoid);
    const confirmed = live.map(([txid]) => heightOf(txid)).find((found) => found !== undefined);
    const confirmations = confirmed === undefined ? 0 : top - confirmed + 1;
    const candidates = live
      .filter(([, { isSigned }]) => isSigned)
      .sort(([, a], [, b]) => a.signedAt - b.signedAt)
      .map(([txid]) => txid);
    const recent = own.slice(since + 1);
    const isTaken = upToLast((event) => 'payoutId' in event.data && event.data.payoutId === payoutId).some(
      (event) => event.type === 'CandidateOffered' && TAKEN.has(event.data.answer) && firstTakenCounts(payoutId),
    );
    const status = own.some(({ type }) => type === 'PayoutCancelled')
      ? 'cancelled'
      : confirmations >= 3
        ? 'final'
        : confirmations >= 2
          ? 'completed'
          : confirmations === 1
            ? 'confirming'
            : live.some(([txid]) => wasMined(txid)) || isTaken
              ? 'broadcast'
              : recent.some(({ type }) => type === 'CandidateSigned')
                ? 'signed'
                : recent.some(({ type }) => type === 'CandidatePrepared')
                  ? 'prepared'
                  : 'started';
    return { status, confirmations, candidates };
  }

  /** A node's first yes writes the payout's row; later ones do not. */
  function firstTakenCounts(payoutId: string): boolean {
    const own = upToLast((event) => 'payoutId' in event.data && event.data.payoutId === payoutId && isPayoutRow(event));
    return own.some((event) => event.type === 'CandidateOffered' && TAKEN.has(event.data.answer));
  }

  /** Events that write a version of the payout's own row. */
  function isPayoutRow(event: ToldEvent): boolean {
    if (event.type === 'CandidateOffered') {
      if (!TAKEN.has(event.data.answer)) return false;
      const { payoutId } = event.data;
      const first = events.find(
        (other) =>
          other.type === 'CandidateOffered' && other.data.payoutId === payoutId && TAKEN.has(other.data.answer),
      );
      return first === event;
    }
    return event.stream.startsWith('payout-');
  }

  function txidsOf(payoutId: string): string[] {
    return events.flatMap((event) =>
      event.type === 'CandidatePrepared' && event.data.payoutId === payoutId ? [event.data.transaction.txid ?? ''] : [],
    );
  }

  function concernsTransaction(event: ToldEvent, payoutId: string, txid: string): boolean {
    switch (event.type) {
      case 'CandidatePrepared':
        return event.data.transaction.txid === txid;
      case 'CandidateSigned':
      case 'CandidateOffered':
        return event.data.txid === txid;
      case 'WithdrawalRemoved': {
        if (event.data.payoutId !== payoutId) return false;
        const prepared = events.findIndex(
          (other) => other.type === 'CandidatePrepared' && other.data.transaction.txid === txid,
        );
        return prepared < events.indexOf(event);
      }
      default:
        return false;
    }
  }

  function withdrawal({ withdrawalId }: { withdrawalId: string }): OracleWithdrawal {
    const own = upToLast((event) => concernsWithdrawal(event, withdrawalId));
    const has = (type: Type): boolean => own.some((event) => event.type === type);
    if (has('WithdrawalCancelled')) return { status: 'cancelled', confirmations: 0, candidates: [] };
    const started = own.find((event) => event.type === 'PayoutStarted');
    if (started?.type !== 'PayoutStarted' || has('WithdrawalRemoved')) {
      return { status: 'requested', confirmations: 0, candidates: [] };
    }
    if (!hasVersion(started.data.payoutId)) return { status: 'requested', confirmations: 0, candidates: [] };
    const { status, confirmations, candidates } = payoutStatus(started.data.payoutId);
    // Cancelled with all its other withdrawals: as far as this one knows at the height, it still waits.
    const waits = status === 'started' || status === 'cancelled';
    const shown = waits ? 'requested' : status === 'final' ? 'completed' : status;
    return { status: shown, confirmations, candidates };
  }

  /**
   * Anything of the payout counts. Its start may not: it may have been recorded at a tip that a reorg took off, and the payment and its
   * settlement at a lower one. What was settled at a height is settled as of that height.
   */
  function hasVersion(payoutId: string): boolean {
    return events.some(
      (event, index) =>
        counts(index) && 'payoutId' in event.data && event.data.payoutId === payoutId && isPayoutRow(event),
    );
  }

  function concernsWithdrawal(event: ToldEvent, id: string): boolean {
    if (!WITHDRAWAL_TYPES.has(event.type)) return false;
    switch (event.type) {
      case 'PayoutStarted':
        return event.data.withdrawals.some(({ withdrawalId }) => withdrawalId === id);
      case 'PayoutSettled':
        return event.data.shares.some(({ withdrawalId }) => withdrawalId === id);
      case 'PayoutClosed':
      case 'PayoutCancelled': {
        const { payoutId } = event.data;
        const isIn = events.some(
          (other) =>
            other.type === 'PayoutStarted' &&
            other.data.payoutId === payoutId &&
            other.data.withdrawals.some(({ withdrawalId }) => withdrawalId === id),
        );
        return isIn && !events.some((other) => other.type === 'WithdrawalRemoved' && other.data.withdrawalId === id);
      }
      default:
        return 'withdrawalId' in event.data && event.data.withdrawalId === id;
    }
  }

  function heldCoins(): bigint {
    const outpoints = new Set(
      events.flatMap((event) =>
        event.type === 'CoinsReserved' ? event.data.coins.map(({ outpoint }) => outpoint) : [],
      ),
    );
    let sum = 0n;
    for (const outpoint of outpoints) {
      const last = upToLast(
        (event) =>
          (event.type === 'CoinsReserved' && event.data.coins.some((coin) => coin.outpoint === outpoint)) ||
          (event.type === 'CoinsReleased' && event.data.outpoints.includes(outpoint)),
      ).at(-1);
      if (last?.type !== 'CoinsReserved') continue;
      const coin = blocks
        .flatMap(({ found }) => found.received)
        .find(({ txid, vout }) => `${txid}:${vout}` === outpoint);
      const isSpent = blocks.some(({ found }) =>
        found.spent.some(({ prevTxid, prevVout }) => `${prevTxid}:${prevVout}` === outpoint),
      );
      if (coin && !isSpent) sum += BigInt(coin.amountSats);
    }
    return sum;
  }
}

function reservedBy(event: ToldEvent): { account: string; sats: bigint } | undefined {
  switch (event.type) {
    case 'FundsReserved':
      return {
        account: event.data.accountId,
        sats: BigInt(event.data.amountSats) + BigInt(event.data.maxFeeSats ?? 0),
      };
    case 'FundsReleased':
      return { account: event.data.accountId, sats: -BigInt(event.data.amountSats) };
    case 'WithdrawalSettled': {
      const { accountId, amountSats, feeSats, releasedSats } = event.data;
      return { account: accountId, sats: -(BigInt(amountSats) + BigInt(feeSats) + BigInt(releasedSats)) };
    }
    default:
      return undefined;
  }
}

/** The tip's height after each event. */
function tipHeights(events: readonly ToldEvent[]): number[] {
  let tip = -1;
  return events.map((event) => {
    if (event.type === 'ChainOpened' || event.type === 'BlockConnected') tip = event.data.height;
    if (event.type === 'BlockDisconnected') tip = event.data.height - 1;
    return tip;
  });
}
