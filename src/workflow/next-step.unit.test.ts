import { describe, expect, it } from 'vitest';
import type { NodeAnswerKind, PlannedTransaction } from '../domain/events/payout-events.js';
import { AT_ONCE, nextStep, patience, type NotBefore, type Step } from './next-step.js';
import type { CandidateView, PayoutView } from './payout-view.js';
import type { ChainFacts } from './ports.js';

const NOW = 1_000_000;
const COIN = 'c'.repeat(64);
const id = (n: number): string => n.toString(16).padStart(64, '0');
const hash = id(999);

function planned(txid: string, input = `${COIN}:0`, feeSats = '200'): PlannedTransaction {
  const [spent = '', vout = '0'] = input.split(':');
  return {
    version: 2,
    locktime: 0,
    inputs: [
      {
        txid: spent,
        vout: Number(vout),
        amountSats: '10000',
        script: '00',
        derivation: { branch: 0, index: 0 },
        sequence: 0xfffffffd,
        blockHash: hash,
      },
    ],
    outputs: [{ script: '51', amountSats: '9000', withdrawalId: 'w1', changeIndex: null }],
    feeSats,
    weight: 400,
    feeRateSatsPerKvb: '1000',
    txid,
  };
}

/** `n` is also the last digit of its txid. An answer makes it signed and offered, `null` signed only. */
function candidate(n: number, answer?: NodeAnswerKind | null, more: Partial<CandidateView> = {}): CandidateView {
  const transaction = more.transaction ?? planned(id(n));
  const signed =
    answer === undefined
      ? []
      : [{ txid: id(n), revision: 3n, changeVouts: [1], feeSats: 200n, weight: 400, lastAnswer: answer }];
  return { candidate: n, kind: 'payment', transaction, round: 0, isVoid: false, signed, ...more };
}

function payout(more: Partial<PayoutView> = {}): PayoutView {
  return {
    payoutId: 'p1',
    walletId: 'hot',
    signer: 'local',
    confirmationTarget: 6,
    completeAt: 2,
    finalAt: 10,
    withdrawals: [
      { withdrawalId: 'w1', accountId: 'a', address: 'x', script: '51', amountSats: '9000', maxFeeSats: null },
    ],
    candidates: [],
    bump: null,
    halted: null,
    settledTxid: null,
    round: 0,
    end: null,
    ...more,
  };
}

/** The tip is at 100. `inBlock`: height by txid. */
function facts(inBlock: Record<string, number> = {}, more: Partial<ChainFacts> = {}): ChainFacts {
  return {
    tip: { height: 100, hash: id(100) },
    confirmed: Object.entries(inBlock).map(([txid, height]) => ({ txid, height, blockHash: hash })),
    foreign: [],
    takenAt: new Map(),
    ...more,
  };
}

const foreign = { outpoint: `${COIN}:0`, byTxid: id(77), height: 98, blockHash: hash };
const taken = (n: number, height: number): Partial<ChainFacts> => ({ takenAt: new Map([[id(n), height]]) });
const later = (more: Partial<NotBefore>): NotBefore => ({ ...AT_ONCE, ...more });

interface Case {
  name: string;
  given: PayoutView;
  chain?: ChainFacts;
  notBefore?: NotBefore;
  then: Step;
}

const cases: Case[] = [
  { name: 'a payout without a transaction prepares one', given: payout(), then: { kind: 'prepare' } },
  {
    name: 'what could not be prepared is prepared later',
    given: payout(),
    notBefore: later({ prepareMs: NOW + 5 }),
    then: { kind: 'wait', untilMs: NOW + 5 },
  },
  {
    name: 'what a removal made void is prepared anew',
    given: payout({ candidates: [candidate(0, undefined, { isVoid: true })] }),
    then: { kind: 'prepare' },
  },
  {
    name: 'what is prepared is signed',
    given: payout({ candidates: [candidate(0)] }),
    then: { kind: 'sign', candidate: 0 },
  },
  {
    name: 'nobody is asked where a person signs',
    given: payout({ candidates: [candidate(0)], signer: 'none' }),
    notBefore: later({ lookMs: NOW + 7 }),
    then: { kind: 'wait', untilMs: NOW + 7 },
  },
  {
    name: 'the node is asked now and then whether a signer has sent what it did not bring back',
    given: payout({ candidates: [candidate(0)], signer: 'none' }),
    then: { kind: 'look', candidate: 0 },
  },
  {
    name: 'also while a signer elsewhere is late',
    given: payout({ candidates: [candidate(0)], signer: 'http' }),
    notBefore: later({ signMs: NOW + 9 }),
    then: { kind: 'look', candidate: 0 },
  },
  {
    name: 'a signer that is late is asked again later',
    given: payout({ candidates: [candidate(0)] }),
    notBefore: later({ signMs: NOW + 9 }),
    then: { kind: 'wait', untilMs: NOW + 9 },
  },
  {
    name: 'what is signed is offered',
    given: payout({ candidates: [candidate(0, null)] }),
    then: { kind: 'offer' },
  },
  ...(['unknown', 'refused', 'fee-too-low', 'inputs-spent', 'replaced-by-better', 'accepted'] as const).map(
    (answer): Case => ({
      name: `after the answer ${answer} the same bytes go out again, never another payment`,
      given: payout({ candidates: [candidate(0, answer)] }),
      then: { kind: 'offer' },
    }),
  ),
  {
    name: 'and not before their time',
    given: payout({ candidates: [candidate(0, 'unknown')] }),
    notBefore: later({ offerMs: NOW + 3 }),
    then: { kind: 'wait', untilMs: NOW + 3 },
  },
  {
    name: 'a replacement waits for its signature while the first is still sent',
    given: payout({ candidates: [candidate(0, 'accepted'), candidate(1)] }),
    notBefore: later({ signMs: NOW + 3 }),
    then: { kind: 'offer' },
  },
  {
    name: 'within its target nothing is replaced',
    given: payout({ candidates: [candidate(0, 'accepted')] }),
    chain: facts({}, taken(0, 95)),
    notBefore: later({ offerMs: NOW + 60 }),
    then: { kind: 'wait', untilMs: NOW + 60 },
  },
  {
    name: 'past its target it is replaced',
    given: payout({ candidates: [candidate(0, 'accepted')] }),
    chain: facts({}, taken(0, 93)),
    notBefore: later({ offerMs: NOW + 60 }),
    then: { kind: 'replace', cause: { kind: 'deadline', blocksOverdue: 1 } },
  },
  ...([null, 'unknown'] as const).map((answer): Case => ({
    name: `a replacement that the node has not answered to (${answer}) is not replaced, however late it is`,
    given: payout({ candidates: [candidate(0, 'accepted'), candidate(1, answer)] }),
    chain: facts({}, taken(0, 10)),
    notBefore: later({ offerMs: NOW + 60, firstOfferMs: NOW + 60 }),
    then: { kind: 'wait', untilMs: NOW + 60 },
  })),
  {
    name: 'the second gets half the time of the first',
    given: payout({ candidates: [candidate(0, 'accepted'), candidate(1, 'accepted')] }),
    chain: facts({}, taken(1, 97)),
    notBefore: later({ offerMs: NOW + 60 }),
    then: { kind: 'replace', cause: { kind: 'deadline', blocksOverdue: 0 } },
  },
  {
    name: 'a payment with a child is not replaced before the child had its time',
    given: payout({
      candidates: [
        candidate(0, 'accepted'),
        candidate(1, 'accepted', { kind: 'child', transaction: planned(id(1), `${id(0)}:1`) }),
      ],
    }),
    chain: facts(
      {},
      {
        takenAt: new Map([
          [id(0), 80],
          [id(1), 98],
        ]),
      },
    ),
    notBefore: later({ offerMs: NOW + 60 }),
    then: { kind: 'wait', untilMs: NOW + 60 },
  },
  {
    name: 'a bump that was asked for replaces at once',
    given: payout({ candidates: [candidate(0, 'accepted')], bump: { feeRateSatsPerKvb: 9_000n } }),
    notBefore: later({ offerMs: NOW + 60 }),
    then: { kind: 'replace', cause: { kind: 'asked', feeRateSatsPerKvb: 9_000n } },
  },
  {
    name: 'a node whose least fee has risen above every candidate is given more',
    given: payout({ candidates: [candidate(0, 'fee-too-low')] }),
    notBefore: later({ offerMs: NOW + 60 }),
    then: { kind: 'replace', cause: { kind: 'fee-too-low' } },
  },
  {
    name: 'but not where an older candidate is in its mempool',
    given: payout({ candidates: [candidate(0, 'accepted'), candidate(1, 'fee-too-low')] }),
    notBefore: later({ offerMs: NOW + 60 }),
    then: { kind: 'wait', untilMs: NOW + 60 },
  },
  {
    name: 'a payment in a block waits for depth',
    given: payout({ candidates: [candidate(0, 'accepted')] }),
    chain: facts({ [id(0)]: 100 }),
    then: { kind: 'wait', untilMs: null },
  },
  {
    name: 'at its depth it is settled',
    given: payout({ candidates: [candidate(0, 'accepted')] }),
    chain: facts({ [id(0)]: 99 }),
    then: { kind: 'settle', txid: id(0) },
  },
  {
    name: 'any candidate may be the one, also the first of three',
    given: payout({ candidates: [candidate(0, 'accepted'), candidate(1, 'accepted'), candidate(2, 'accepted')] }),
    chain: facts({ [id(0)]: 99 }),
    then: { kind: 'settle', txid: id(0) },
  },
  {
    name: 'one that its signer sent without telling is signed, from its first block on',
    given: payout({ candidates: [candidate(0)] }),
    chain: facts({ [id(0)]: 100 }),
    then: { kind: 'adopt', candidate: 0, txid: id(0), blockHash: hash },
  },
  {
    name: 'and a payment all the same where its bytes cannot be had',
    given: payout({ candidates: [candidate(0)] }),
    chain: facts({ [id(0)]: 99 }),
    notBefore: later({ signMs: NOW + 5 }),
    then: { kind: 'settle', txid: id(0) },
  },
  {
    name: 'a settled payment that lost its block is offered again and not settled twice',
    given: payout({ candidates: [candidate(0, 'accepted')], settledTxid: id(0) }),
    then: { kind: 'offer' },
  },
  {
    name: 'buried it is closed',
    given: payout({ candidates: [candidate(0, 'accepted')], settledTxid: id(0) }),
    chain: facts({ [id(0)]: 91 }),
    then: { kind: 'close', txid: id(0), childTxids: [] },
  },
  {
    name: 'a bump comes too late for what is in a block',
    given: payout({ candidates: [candidate(0, 'accepted')], bump: { feeRateSatsPerKvb: null } }),
    chain: facts({ [id(0)]: 100 }),
    then: { kind: 'refuse-bump', reason: 'confirmed', detail: `${id(0)} is in the block at height 100.` },
  },
  {
    name: 'a buried payment with a child that is not in a block is not over: the child is sent on',
    given: payout({
      settledTxid: id(0),
      candidates: [
        candidate(0, 'accepted'),
        candidate(1, 'accepted', { kind: 'child', transaction: planned(id(1), `${id(0)}:1`) }),
      ],
    }),
    chain: facts({ [id(0)]: 91 }),
    then: { kind: 'offer' },
  },
  {
    name: 'with its child buried as well it is closed, and the child counts',
    given: payout({
      settledTxid: id(0),
      candidates: [
        candidate(0, 'accepted'),
        candidate(1, 'accepted', { kind: 'child', transaction: planned(id(1), `${id(0)}:1`) }),
      ],
    }),
    chain: facts({ [id(0)]: 91, [id(1)]: 91 }),
    then: { kind: 'close', txid: id(0), childTxids: [id(1)] },
  },
  {
    name: 'the child of a candidate that lost is nothing to wait for',
    given: payout({
      settledTxid: id(2),
      candidates: [
        candidate(0, 'accepted'),
        candidate(1, 'accepted', { kind: 'child', transaction: planned(id(1), `${id(0)}:1`) }),
        candidate(2, 'accepted'),
      ],
    }),
    chain: facts({ [id(2)]: 91 }),
    then: { kind: 'close', txid: id(2), childTxids: [] },
  },
  {
    name: 'a coin spent by a transaction that is not ours halts it',
    given: payout({ candidates: [candidate(0, 'accepted')] }),
    chain: facts({}, { foreign: [foreign] }),
    then: { kind: 'halt', ...foreign },
  },
  {
    name: 'a coin that only a replacement spends does not stop the original',
    given: payout({
      candidates: [candidate(0, 'accepted'), candidate(1, 'inputs-spent')],
    }),
    chain: facts({}, { foreign: [{ ...foreign, outpoint: `${COIN}:9` }] }),
    then: { kind: 'offer' },
  },
  {
    name: 'halted it waits for a person',
    given: payout({ candidates: [candidate(0, 'accepted')], halted: { byTxid: id(77) } }),
    chain: facts({}, { foreign: [foreign] }),
    then: { kind: 'wait', untilMs: null },
  },
  {
    name: 'and goes on when the foreign spend lost its block',
    given: payout({ candidates: [candidate(0, 'accepted')], halted: { byTxid: id(77) } }),
    then: { kind: 'resume', byTxid: id(77) },
  },
  {
    name: 'a payment in a block ends the halt: the coin taken was one that only a replacement spends',
    given: payout({ candidates: [candidate(0, 'accepted')], halted: { byTxid: id(77) } }),
    chain: facts({ [id(0)]: 99 }, { foreign: [{ ...foreign, outpoint: `${COIN}:5` }] }),
    then: { kind: 'resume', byTxid: id(77) },
  },
  {
    name: 'and does not begin another',
    given: payout({ candidates: [candidate(0, 'accepted')] }),
    chain: facts({ [id(0)]: 99 }, { foreign: [{ ...foreign, outpoint: `${COIN}:5` }] }),
    then: { kind: 'settle', txid: id(0) },
  },
  {
    name: 'paid again by decision, the old foreign spend does not halt it any more',
    given: payout({ round: 1, candidates: [candidate(0, 'accepted', { isVoid: true })] }),
    chain: facts({}, { foreign: [foreign] }),
    then: { kind: 'prepare' },
  },
  {
    name: 'a payment of an earlier round that a reorg brought back is a payment',
    given: payout({
      round: 1,
      candidates: [candidate(0, 'accepted', { isVoid: true }), candidate(1, null, { round: 1 })],
    }),
    chain: facts({ [id(0)]: 99 }),
    then: { kind: 'settle', txid: id(0) },
  },
  {
    name: 'a void candidate in a block is an alarm, not a payment',
    given: payout({ candidates: [candidate(0, undefined, { isVoid: true }), candidate(1, 'accepted')] }),
    chain: facts({ [id(0)]: 99 }),
    then: { kind: 'halt', outpoint: `${COIN}:0`, byTxid: id(0), blockHash: hash, height: 99 },
  },
  {
    name: 'what is over tells accounts and coins',
    given: payout({ end: 'closed', candidates: [candidate(0, 'accepted')] }),
    chain: facts({ [id(0)]: 50 }),
    then: { kind: 'finish' },
  },
];

describe('the next step of a payout', () => {
  it.each(cases)('$name', ({ given, chain = facts(), notBefore = AT_ONCE, then }) => {
    expect(nextStep(given, chain, notBefore, NOW)).toEqual(then);
  });

  it('never leads from signed to another preparation, whatever node, chain and clock say', () => {
    const answers: (NodeAnswerKind | null)[] = [
      null,
      'accepted',
      'already-known',
      'already-in-chain',
      'inputs-spent',
      'replaced-by-better',
      'fee-too-low',
      'refused',
      'unknown',
    ];
    const chains = [facts(), facts({}, { foreign: [foreign] }), facts({ [id(0)]: 99 }), facts({}, taken(0, 0))];
    for (const answer of answers)
      for (const chain of chains)
        for (const halted of [null, { byTxid: id(77) }])
          for (const settledTxid of [null, id(0)])
            for (const withdrawals of [payout().withdrawals, []]) {
              const given = payout({ candidates: [candidate(0, answer)], halted, settledTxid, withdrawals });
              expect(nextStep(given, chain, AT_ONCE, NOW).kind).not.toBe('prepare');
            }
  });
});

describe('the patience with a candidate', () => {
  it('halves with every one, and is a block at least', () => {
    expect([1, 2, 3, 4, 9].map((payments) => patience(6, payments))).toEqual([6, 3, 1, 1, 1]);
    expect(patience(1, 1)).toBe(1);
  });
});
