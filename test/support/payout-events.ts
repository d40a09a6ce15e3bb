import type { Found } from '../../src/domain/events/chain-events.js';
import type { DomainEvent } from '../../src/domain/events/event-types.js';
import type { NodeAnswerKind, PayoutDeferred, PlannedTransaction } from '../../src/domain/events/payout-events.js';
import type { ToldEvent } from './ledger-log.js';
import { hashNamed } from './small-histories.js';

/** Builders for the lives of withdrawals: as the workflow would record them. Wallet `w`, amounts in satoshis. */
export const PAYEE_SCRIPT = `0014${'ab'.repeat(20)}`;
export const OUR_SCRIPT = `0014${'cd'.repeat(20)}`;

function told<T extends DomainEvent['type']>(
  stream: string,
  type: T,
  data: Extract<DomainEvent, { type: T }>['data'],
): ToldEvent {
  return { stream, type, data } as unknown as ToldEvent;
}

export interface Asked {
  id: string;
  account: string;
  amount: number;
  maxFee?: number | null;
}

export function fundsReserved({ id, account, amount, maxFee = null }: Asked): ToldEvent {
  const total = amount + (maxFee ?? 0);
  return told(`account-${account}`, 'FundsReserved', {
    withdrawalId: id,
    accountId: account,
    walletId: 'w',
    address: `bcrt1-${id}`,
    script: PAYEE_SCRIPT,
    amountSats: String(amount),
    maxFeeSats: maxFee === null ? null : String(maxFee),
    confirmationTarget: 6,
    postings: [
      { book: `account:${account}`, amountSats: String(total) },
      { book: `reserved:${account}`, amountSats: String(-total) },
    ],
  });
}

export function fundsReleased(
  { id, account, amount, maxFee = null }: Asked,
  reason: 'cancelled' | 'failed',
): ToldEvent {
  const total = amount + (maxFee ?? 0);
  return told(`account-${account}`, 'FundsReleased', {
    withdrawalId: id,
    accountId: account,
    amountSats: String(total),
    reason,
    postings: [
      { book: `reserved:${account}`, amountSats: String(total) },
      { book: `account:${account}`, amountSats: String(-total) },
    ],
  });
}

export function withdrawalSettled(asked: Asked, payoutId: string, txid: string, fee: number): ToldEvent {
  const { id, account, amount, maxFee = null } = asked;
  const total = amount + (maxFee ?? 0);
  const rest = total - amount - fee;
  return told(`account-${account}`, 'WithdrawalSettled', {
    withdrawalId: id,
    accountId: account,
    payoutId,
    txid,
    amountSats: String(amount),
    feeSats: String(fee),
    releasedSats: String(rest),
    postings: [
      { book: `reserved:${account}`, amountSats: String(total) },
      { book: 'transit', amountSats: String(-(amount + fee)) },
      ...(rest === 0 ? [] : [{ book: `account:${account}`, amountSats: String(-rest) }]),
    ],
  });
}

export function withdrawalAssigned(withdrawalId: string, payoutId: string): ToldEvent {
  return told(`withdrawal-${withdrawalId}`, 'WithdrawalAssigned', { withdrawalId, payoutId });
}

export function withdrawalDeferred(withdrawalId: string, detail: string): ToldEvent {
  return told(`withdrawal-${withdrawalId}`, 'WithdrawalDeferred', { withdrawalId, reason: 'wallet-too-low', detail });
}

export function withdrawalCancelled({ id, account }: Asked): ToldEvent {
  return told(`withdrawal-${id}`, 'WithdrawalCancelled', { withdrawalId: id, accountId: account, reason: 'asked' });
}

export function withdrawalFailed({ id, account }: Asked, payoutId: string): ToldEvent {
  const data = { withdrawalId: id, accountId: account, payoutId, reason: 'given up' };
  return told(`withdrawal-${id}`, 'WithdrawalFailed', data);
}

export function payoutStarted(
  payoutId: string,
  withdrawals: readonly Asked[],
  depths: { completeAt: number; finalAt: number },
): ToldEvent {
  return told(`payout-${payoutId}`, 'PayoutStarted', {
    payoutId,
    walletId: 'w',
    signer: 'local',
    withdrawals: withdrawals.map(({ id, account, amount, maxFee = null }) => ({
      withdrawalId: id,
      accountId: account,
      address: `bcrt1-${id}`,
      script: PAYEE_SCRIPT,
      amountSats: String(amount),
      maxFeeSats: maxFee === null ? null : String(maxFee),
    })),
    confirmationTarget: 2,
    ...depths,
  });
}

export interface OwnCoin {
  outpoint: string;
  amount: number;
}

export function coinsReserved(payoutId: string, coins: readonly OwnCoin[]): ToldEvent {
  return told('wallet-w', 'CoinsReserved', {
    walletId: 'w',
    payoutId,
    coins: coins.map(({ outpoint, amount }) => ({ outpoint, amountSats: String(amount) })),
  });
}

export function coinsReleased(
  payoutId: string,
  outpoints: readonly string[],
  reason: 'spent' | 'conflict' | 'unsigned',
): ToldEvent {
  return told('wallet-w', 'CoinsReleased', { walletId: 'w', payoutId, outpoints: [...outpoints], reason });
}

export interface Payment {
  payoutId: string;
  candidate: number;
  kind?: 'payment' | 'child';
  txid: string;
  inputs: readonly OwnCoin[];
  pays: readonly Asked[];
  change: number;
  fee: number;
}

/** @param knowsTxid false where the txid depends on the signature */
export function candidatePrepared(payment: Payment, knowsTxid = true): ToldEvent {
  const { payoutId, candidate, kind = 'payment' } = payment;
  return told(`payout-${payoutId}`, 'CandidatePrepared', {
    payoutId,
    candidate,
    kind,
    transaction: knowsTxid ? plannedTransaction(payment) : { ...plannedTransaction(payment), txid: null },
    feeSource: 'estimate',
    feeReason: 'the node says so',
  });
}

function plannedTransaction({ txid, inputs, pays, change, fee }: Payment): PlannedTransaction {
  return {
    version: 2,
    locktime: 0,
    inputs: inputs.map(({ outpoint, amount }) => ({
      txid: outpoint.slice(0, 64),
      vout: Number(outpoint.slice(65)),
      amountSats: String(amount),
      script: OUR_SCRIPT,
      derivation: { branch: 0, index: 0 },
      sequence: 0xfffffffd,
      blockHash: null,
    })),
    outputs: [
      ...pays.map(({ id, amount }) => ({
        script: PAYEE_SCRIPT,
        amountSats: String(amount),
        withdrawalId: id,
        changeIndex: null,
      })),
      ...(change === 0 ? [] : [{ script: OUR_SCRIPT, amountSats: String(change), withdrawalId: null, changeIndex: 0 }]),
    ],
    feeSats: String(fee),
    weight: 561,
    feeRateSatsPerKvb: '5000',
    txid,
  };
}

export function candidateSigned({ payoutId, candidate, txid, inputs, pays, change, fee }: Payment): ToldEvent {
  return told(`payout-${payoutId}`, 'CandidateSigned', {
    payoutId,
    candidate,
    txid,
    transaction: `0200${txid}`,
    inputs: inputs.map(({ outpoint }) => outpoint),
    changeVouts: change === 0 ? [] : [pays.length],
    feeSats: String(fee),
    weight: 561,
  });
}

export function candidateOffered(payoutId: string, txid: string, answer: NodeAnswerKind): ToldEvent {
  return told(`payout-${payoutId}`, 'CandidateOffered', { payoutId, txid, answer, detail: `the node: ${answer}` });
}

export function payoutSettled(payoutId: string, txid: string, fee: number, withdrawals: readonly Asked[]): ToldEvent {
  return told(`payout-${payoutId}`, 'PayoutSettled', {
    payoutId,
    txid,
    feeSats: String(fee),
    houseFeeSats: String(fee),
    shares: withdrawals.map(({ id, account, amount }) => ({
      withdrawalId: id,
      accountId: account,
      amountSats: String(amount),
      feeSats: '0',
    })),
    postings: [
      { book: 'fees', amountSats: String(fee) },
      { book: 'transit', amountSats: String(-fee) },
    ],
  });
}

export function payoutClosed(payoutId: string, txid: string): ToldEvent {
  return told(`payout-${payoutId}`, 'PayoutClosed', { payoutId, txid, extraFeeSats: '0', postings: [] });
}

export function payoutHalted(
  payoutId: string,
  outpoint: string,
  byTxid: string,
  blockHash: string,
  height: number,
): ToldEvent {
  return told(`payout-${payoutId}`, 'PayoutHalted', { payoutId, outpoint, byTxid, blockHash, height });
}

export function payoutResumed(payoutId: string, byTxid: string): ToldEvent {
  return told(`payout-${payoutId}`, 'PayoutResumed', { payoutId, byTxid });
}

export function payoutResolved(
  payoutId: string,
  outcome: 'pay-again' | 'paid' | 'give-up',
  byTxid: string,
  outpoint: string,
): ToldEvent {
  const data = { payoutId, outcome, byTxid, outpoint, confirmations: 3, note: 'seen', postings: [] };
  return told(`payout-${payoutId}`, 'PayoutResolved', data);
}

export function withdrawalRemoved(payoutId: string, withdrawalId: string): ToldEvent {
  return told(`payout-${payoutId}`, 'WithdrawalRemoved', { payoutId, withdrawalId, reason: 'asked' });
}

export function payoutCancelled(payoutId: string): ToldEvent {
  return told(`payout-${payoutId}`, 'PayoutCancelled', { payoutId });
}

export function payoutDeferred(payoutId: string, reason: PayoutDeferred['reason']): ToldEvent {
  return told(`payout-${payoutId}`, 'PayoutDeferred', { payoutId, reason, detail: `because: ${reason}` });
}

/** What a block holds of a payment: its inputs are ours, and so is its change. */
export function minedPayment({ payoutId, txid, inputs, pays, change }: Payment, owned = true): Found {
  const owner = owned ? payoutId : null;
  const watched = { script: OUR_SCRIPT, address: null, walletId: 'w', accountId: null };
  return {
    received:
      change === 0
        ? []
        : [
            {
              ...watched,
              txid,
              vout: pays.length,
              amountSats: String(change),
              coinbase: false,
              derivation: { branch: 1, index: 0 },
              payoutId: owner,
            },
          ],
    spent: inputs.map(({ outpoint, amount }, vin) => ({
      ...watched,
      txid,
      vin,
      prevTxid: outpoint.slice(0, 64),
      prevVout: Number(outpoint.slice(65)),
      amountSats: String(amount),
      payoutId: owner,
    })),
    funding: change === 0 ? [] : [{ txid, inputs: inputs.map(({ outpoint }) => outpoint) }],
    conflicts: [],
  };
}

/** A coin of the wallet that transaction `name` of `deposit(name, null, amount)` makes. */
export function coinNamed(name: string, amount: number): OwnCoin {
  return { outpoint: `${hashNamed(`transaction ${name}`)}:0`, amount };
}
