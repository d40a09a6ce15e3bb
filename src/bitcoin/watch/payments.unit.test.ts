import { expect, test } from 'vitest';
import { candidatePrepared, candidateSigned, coinNamed, minedPayment } from '../../../test/support/payout-events.js';
import type { Payment } from '../../../test/support/payout-events.js';
import { hashNamed } from '../../../test/support/small-histories.js';
import type { CandidatePrepared, CandidateSigned } from '../../domain/events/payout-events.js';
import { createPayments } from './payments.js';

const payment: Payment = {
  payoutId: 'p1',
  candidate: 0,
  txid: hashNamed('payment'),
  inputs: [coinNamed('c', 1_000)],
  pays: [{ id: 'wd1', account: 'alice', amount: 600 }],
  change: 300,
  fee: 100,
};
const prepared = candidatePrepared(payment).data as CandidatePrepared;
const signed = candidateSigned(payment).data as CandidateSigned;

test('a payment is known from what was prepared, and its change by its place', () => {
  const payments = createPayments();
  expect(payments.payoutOf(payment.txid)).toBeNull();
  payments.prepare(prepared);
  expect(payments.payoutOf(payment.txid)).toBe('p1');
  expect([payments.payoutOfChange(payment.txid, 0), payments.payoutOfChange(payment.txid, 1)]).toEqual([null, 'p1']);
});

test('what was voided unsigned is a stranger’s, what was signed before stays our own', () => {
  const payments = createPayments();
  payments.prepare(prepared);
  payments.voidUnsigned('p1');
  expect(payments.payoutOf(payment.txid)).toBeNull();
  expect(payments.disagreesWith(minedPayment(payment)), 'a block said that it is ours').toBe(true);
  payments.sign(signed);
  payments.voidUnsigned('p1');
  expect(payments.payoutOf(payment.txid)).toBe('p1');
  expect(payments.disagreesWith(minedPayment(payment))).toBe(false);
  expect(payments.disagreesWith(minedPayment(payment, false)), 'a block was scanned before it was known').toBe(true);
});

test('a closed payout is forgotten, and known again when its block is taken off', () => {
  const payments = createPayments();
  payments.sign(signed);
  payments.close('p1');
  expect(payments.payoutOf(payment.txid)).toBeNull();
  expect(payments.disagreesWith(minedPayment(payment)), 'nothing is known against it').toBe(false);
  payments.restore(minedPayment(payment));
  expect([payments.payoutOf(payment.txid), payments.payoutOfChange(payment.txid, 1)]).toEqual(['p1', 'p1']);
});
