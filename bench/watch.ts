import type pg from 'pg';
import { createManualSigner } from '../src/bitcoin/payment/manual-signer.js';
import { createNoPaymentNode } from '../src/bitcoin/payment/no-payment-node.js';
import type { Found } from '../src/domain/events/chain-events.js';
import { Agenda } from '../src/workflow/agenda.js';
import { Gate } from '../src/workflow/gate.js';
import { runRound, type RoundParts } from '../src/workflow/round.js';
import { TaskPool } from '../src/workflow/task-pool.js';
import type { ToldEvent } from '../test/support/ledger-log.js';
import { tellLog } from '../test/support/ledger-log.js';
import {
  candidateOffered,
  candidatePrepared,
  candidateSigned,
  coinsReserved,
  fundsReserved,
  OUR_SCRIPT,
  payoutStarted,
  withdrawalAssigned,
  type OwnCoin,
} from '../test/support/payout-events.js';
import { startTemporaryPostgres } from '../test/support/postgres-server.js';
import { chainOpened, hashNamed } from '../test/support/small-histories.js';
import type { BenchRow } from './bench-row.js';
import { median } from './median-times.js';
import { hashAt, LEDGER, openPaymentLedger, type PaymentLedger } from './payment-ledger.js';

const FEW = 10;
const COIN = 100_000;
const AMOUNT = 90_000;
const FEE = 1_000;
const DEPOSITS_PER_BLOCK = 10;
/** Coins that one block of the filled log brings. */
const COINS_PER_BLOCK = 1_000;
/** Events in one statement. */
const TOLD_AT_ONCE = 7_000;
/** More blocks than are mined here: none is due, and the cost of watching is what is measured. */
const PATIENT_TARGET = 1_000;
const GOAL = 1.2;

/**
 * What a block costs while payouts are with the node and wait for it: appended, taken into every read model, and looked at by the workflow.
 * With many payouts open and with few, taking turns.
 */
export async function runWatchBench({ quick }: { quick: boolean }): Promise<BenchRow[]> {
  const many = quick ? 3_000 : 10_000;
  const rounds = quick ? 15 : 40;
  const postgres = await startTemporaryPostgres([]);
  const opened: PaymentLedger[] = [];
  try {
    for (const open of [FEW, many]) {
      opened.push(await openPaymentLedger(postgres.url, `watch_${open}`, (pool) => fill(pool, open)));
    }
    const times: number[][] = opened.map(() => []);
    const workflows = opened.map(roundParts);
    for (let round = 0; round < rounds + 3; round += 1) {
      for (const [index, ledger] of opened.entries()) {
        const parts = workflows[index];
        if (parts === undefined) throw new Error('each ledger has a workflow');
        const started = performance.now();
        await ledger.connect(deposits(round));
        await lookAtBlock(parts, ledger);
        // The first ones warm caches and plans.
        if (round >= 3) times[index]?.push(performance.now() - started);
      }
    }
    const [few = NaN, lot = NaN] = times.map(median);
    return [
      {
        bench: 'watch',
        measure: `a block with ${many.toLocaleString('en')} payouts open, read and looked at`,
        value: `${lot.toFixed(1)} ms`,
        reference: `with ${FEW} open: ${few.toFixed(1)} ms`,
        ratio: lot / few,
        goal: `≤ ${GOAL}`,
        met: lot / few <= GOAL,
        note: `${DEPOSITS_PER_BLOCK} deposits in each block; medians of ${rounds} interleaved rounds`,
      },
    ];
  } finally {
    for (const ledger of opened) await ledger.close();
    await postgres.stop();
  }
}

/** So many payouts of one withdrawal each, signed and taken by the node. */
async function fill(pool: pg.Pool, payouts: number): Promise<void> {
  const events: ToldEvent[] = [
    ...chainOpened(1),
    told('wallet-w', 'WalletCreated', {
      walletId: 'w',
      descriptor: null,
      changeDescriptor: null,
      gapLimit: 20,
      signer: 'local',
    }),
    told('account-alice', 'AccountOpened', { accountId: 'alice', metadata: {} }),
  ];
  for (let from = 0, height = 1; from < payouts; from += COINS_PER_BLOCK, height += 1) {
    const coins = Array.from({ length: Math.min(COINS_PER_BLOCK, payouts - from) }, (_, n) => coinOf(from + n));
    events.push(
      told('chain-regtest', 'BlockConnected', {
        network: 'regtest',
        hash: hashAt(height),
        height,
        prevHash: height === 1 ? openedHash(events) : hashAt(height - 1),
        time: 1_700_000_000 + height,
        bits: 0x207fffff,
        size: 1_000_000,
        transactionCount: 2_000,
        parts: 0,
        found: foundOf(coins),
      }),
    );
  }
  for (let n = 0; n < payouts; n += 1) {
    const asked = { id: `w${n}`, account: 'alice', amount: AMOUNT };
    const [payoutId, txid, coin] = [`p${n}`, hashNamed(`payment ${n}`), coinOf(n)];
    const change = COIN - AMOUNT - FEE;
    const payment = { payoutId, candidate: 0, txid, inputs: [coin], pays: [asked], change, fee: FEE };
    const started = payoutStarted(payoutId, [asked], { completeAt: 1, finalAt: 144 });
    events.push(
      fundsReserved(asked),
      { ...started, data: { ...started.data, confirmationTarget: PATIENT_TARGET } } as ToldEvent,
      withdrawalAssigned(asked.id, payoutId),
      coinsReserved(payoutId, [coin]),
      candidatePrepared(payment),
      candidateSigned(payment),
      candidateOffered(payoutId, txid, 'accepted'),
    );
  }
  for (let from = 0; from < events.length; from += TOLD_AT_ONCE) {
    await tellLog(pool, LEDGER, events.slice(from, from + TOLD_AT_ONCE));
  }
}

function told(stream: string, type: string, data: unknown): ToldEvent {
  return { stream, type, data } as unknown as ToldEvent;
}

function openedHash(events: readonly ToldEvent[]): string {
  const opened = events.find(({ type }) => type === 'ChainOpened');
  return opened?.type === 'ChainOpened' ? opened.data.hash : '';
}

function coinOf(n: number): OwnCoin {
  return { outpoint: `${hashNamed(`coin ${n}`)}:0`, amount: COIN };
}

function foundOf(coins: readonly OwnCoin[]): Found {
  const received = coins.map(({ outpoint, amount }) => ({
    txid: outpoint.slice(0, 64),
    vout: 0,
    amountSats: String(amount),
    script: OUR_SCRIPT,
    address: null,
    walletId: 'w',
    accountId: 'alice',
    coinbase: false,
    derivation: { branch: 0 as const, index: 0 },
    payoutId: null,
  }));
  const funding = received.map(({ txid }) => ({ txid, inputs: [`${hashNamed(`in ${txid}`)}:0`] }));
  return { received, spent: [], funding, conflicts: [] };
}

function deposits(round: number): Found {
  return foundOf(
    Array.from({ length: DEPOSITS_PER_BLOCK }, (_, n) => ({
      outpoint: `${hashNamed(`deposit ${round} ${n}`)}:0`,
      amount: COIN,
    })),
  );
}

function roundParts({ commands, work }: PaymentLedger): RoundParts {
  const signer = createManualSigner();
  const gate = (): Gate => new Gate({ firstMs: 500, maxMs: 30_000, now: Date.now, random: () => 0.5 });
  const fail = (what: unknown, error?: unknown): never => {
    throw new Error(`the workflow is in trouble: ${String(what)}`, { cause: error });
  };
  return {
    network: 'regtest',
    policy: {
      completeAt: 1,
      finalAt: 144,
      windowMs: 0,
      maxWithdrawals: 200,
      maxWeight: 100_000,
      feeBudgetPercent: 1,
      chainDepth: 1,
      maxFeeRateSatsPerKvb: 500_000n,
      fallbackFeeRateSatsPerKvb: 5_000n,
      longTermFeeRateSatsPerKvb: 10_000n,
      rebroadcastMs: 600_000,
    },
    lastBlock: { eventId: null },
    commands,
    work,
    node: createNoPaymentNode({ blocks: () => fail('nothing is signed here') }),
    signers: { none: signer, http: signer, local: signer },
    now: () => Date.now(),
    random: () => 0.5,
    events: { offered: () => undefined, signerAnswered: () => undefined, trouble: fail },
    agenda: new Agenda(),
    written: { position: 0n },
    nodeGate: gate(),
    signerGates: { none: gate(), http: gate(), local: gate() },
    signing: new TaskPool(8, () => undefined),
    pool: new TaskPool(16, () => undefined),
    onFatal: fail,
  };
}

/** The round that follows a block, as the workflow's loop runs it: all pages of what is due, the wallets, and nothing swept. */
async function lookAtBlock(parts: RoundParts, { outbox }: PaymentLedger): Promise<void> {
  parts.written.position = await outbox.head();
  const state: Parameters<typeof runRound>[1] = {
    due: { after: null },
    sweep: undefined,
    endsToDo: true,
    walletsToDo: true,
    walletsNotBefore: new Map(),
    walletsAfter: new Map(),
    failures: new Map(),
  };
  do await runRound(parts, state);
  while (state.due !== undefined);
  await parts.pool.idle();
}
