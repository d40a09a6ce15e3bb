import { randomBytes } from 'node:crypto';
import * as ecc from '@bitcoinerlab/secp256k1';
import { initEccLib, networks, Psbt } from 'bitcoinjs-lib';
import { deriveScript } from '../src/bitcoin/descriptors/derive-script.js';
import { parseDescriptor, type Descriptor } from '../src/bitcoin/descriptors/parse-descriptor.js';
import { createLocalSigner } from '../src/bitcoin/payment/local-signer.js';
import { createManualSigner } from '../src/bitcoin/payment/manual-signer.js';
import { createNoPaymentNode } from '../src/bitcoin/payment/no-payment-node.js';
import { CreateWalletCommand, CreateWalletHandler } from '../src/command/handlers/create-wallet.js';
import { OpenAccountCommand, OpenAccountHandler } from '../src/command/handlers/open-account.js';
import { RequestWithdrawalCommand, RequestWithdrawalHandler } from '../src/command/handlers/request-withdrawal.js';
import type { CommandOutcome } from '../src/command/run-command.js';
import type { Found } from '../src/domain/events/chain-events.js';
import type { CandidatePrepared, PlannedTransaction } from '../src/domain/events/payout-events.js';
import { createWorkflow, type Workflow } from '../src/workflow/workflow.js';
import { tellLog } from '../test/support/ledger-log.js';
import { startTemporaryPostgres } from '../test/support/postgres-server.js';
import { chainOpened, hashNamed } from '../test/support/small-histories.js';
import type { BenchRow } from './bench-row.js';
import { median } from './median-times.js';
import { LEDGER, openPaymentLedger, type PaymentLedger } from './payment-ledger.js';

const WITHDRAWALS = 1_000;
const COIN_SATS = 100_000n;
/** A coin pays one of them and its share of the fee. */
const AMOUNT_SATS = 99_000n;
const PER_PAYOUT = 200;
const GOAL = 1.5;
const ADDRESS = 'bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080';
const MAX_ROUNDS = 100;

initEccLib(ecc);

/**
 * A thousand withdrawals waiting, to all signed by the local signer: chosen, planned, coins reserved, every step of it a durable event,
 * PSBTs built, signed and verified. About one input each, in payments of 200. Against bitcoinjs-lib signing the same inputs with
 * keys that are derived already, in the same run.
 */
export async function runPayoutBench({ quick }: { quick: boolean }): Promise<BenchRow[]> {
  const rounds = quick ? 1 : 5;
  const postgres = await startTemporaryPostgres([]);
  try {
    const ledger = await openPaymentLedger(postgres.url, 'payout', async (pool) => {
      await tellLog(pool, LEDGER, chainOpened(1));
    });
    try {
      const receive = await prepareWallet(ledger);
      const workflow = openWorkflow(ledger);
      const times: { ours: number; theirs: number; inputs: number }[] = [];
      for (let round = 0; round <= rounds; round += 1) {
        await ledger.connect(coinsOf(receive, round));
        await request(ledger, round);
        const before = await ledger.outbox.head();
        const started = performance.now();
        await runUntilSigned(ledger, workflow);
        const ours = performance.now() - started;
        const signed = await transactionsAfter(ledger, before);
        const theirs = await signWithLibrary(ledger, signed);
        // The first round warms caches and plans.
        if (round === 0) continue;
        times.push({ ours, theirs, inputs: signed.reduce((sum, { inputs }) => sum + inputs.length, 0) });
      }
      return [row(times)];
    } finally {
      await ledger.close();
    }
  } finally {
    await postgres.stop();
  }
}

function row(times: readonly { ours: number; theirs: number; inputs: number }[]): BenchRow {
  const ratio = median(times.map(({ ours, theirs }) => ours / theirs));
  return {
    bench: 'payout',
    measure: `${WITHDRAWALS.toLocaleString('en')} withdrawals waiting, to all signed by the local signer`,
    value: `${median(times.map(({ ours }) => ours)).toFixed(0)} ms`,
    reference: `bitcoinjs-lib signing the same inputs: ${median(times.map(({ theirs }) => theirs)).toFixed(0)} ms`,
    ratio,
    goal: `≤ ${GOAL}`,
    met: ratio <= GOAL,
    note: `${median(times.map(({ inputs }) => inputs))} inputs in payments of ${PER_PAYOUT} withdrawals; median of ${times.length} rounds`,
  };
}

function done(outcome: CommandOutcome): void {
  if (outcome.kind !== 'done') throw new Error(`a command failed: ${JSON.stringify(outcome)}`);
}

const context = (idempotencyKey: string) => ({ idempotencyKey, correlationId: 'b', traceparent: 'b', actor: 'bench' });

/** A wallet whose keys the ledger has, and an account. */
async function prepareWallet({ parts, keys, readable }: PaymentLedger): Promise<Descriptor> {
  const account = { accountId: 'alice', metadata: {} };
  done(await new OpenAccountHandler(parts).execute(new OpenAccountCommand(context('account'), account)));
  const wallet = { descriptor: undefined, changeDescriptor: undefined, gapLimit: undefined, signer: 'local' as const };
  done(
    await new CreateWalletHandler(parts).execute(
      new CreateWalletCommand(context('wallet'), { walletId: 'hot', ...wallet }),
    ),
  );
  await readable();
  const { descriptor } = await keys.ensure('hot');
  const parsed = parseDescriptor(descriptor, 'regtest');
  if ('invalid' in parsed) throw new Error(parsed.invalid);
  return parsed.receive;
}

/** A block that pays alice a thousand coins on different keys. */
function coinsOf(receive: Descriptor, round: number): Found {
  const received = Array.from({ length: WITHDRAWALS }, (_, n) => ({
    txid: hashNamed(`coin ${round} ${n}`),
    vout: 0,
    amountSats: COIN_SATS.toString(),
    script: Buffer.from(deriveScript(receive, n)).toString('hex'),
    address: null,
    walletId: 'hot',
    accountId: 'alice',
    coinbase: false,
    derivation: { branch: 0 as const, index: n },
    payoutId: null,
  }));
  const funding = received.map(({ txid }) => ({ txid, inputs: [`${hashNamed(`in ${txid}`)}:0`] }));
  return { received, spent: [], funding, conflicts: [] };
}

async function request({ parts, readable }: PaymentLedger, round: number): Promise<void> {
  const handler = new RequestWithdrawalHandler(parts);
  const wanted = { accountId: 'alice', walletId: 'hot', address: ADDRESS, amountSats: AMOUNT_SATS };
  const rest = { withdrawalId: undefined, maxFeeSats: undefined, confirmationTarget: undefined };
  await Promise.all(
    Array.from({ length: WITHDRAWALS }, async (_, n) => {
      done(await handler.execute(new RequestWithdrawalCommand(context(`w ${round} ${n}`), { ...wanted, ...rest })));
    }),
  );
  await readable();
}

function openWorkflow({ commands, work, outbox, feed, keys }: PaymentLedger): Workflow {
  const manual = createManualSigner();
  return createWorkflow({
    network: 'regtest',
    policy: {
      completeAt: 1,
      finalAt: 144,
      windowMs: 0,
      maxWithdrawals: PER_PAYOUT,
      maxWeight: 100_000,
      feeBudgetPercent: 1,
      chainDepth: 0,
      maxFeeRateSatsPerKvb: 500_000n,
      fallbackFeeRateSatsPerKvb: 5_000n,
      longTermFeeRateSatsPerKvb: 10_000n,
      rebroadcastMs: 600_000,
    },
    commands,
    work,
    // What is sent to whom is not measured here.
    node: createNoPaymentNode({ blocks: () => Promise.reject(new Error('segwit needs no previous transactions')) }),
    signers: { none: manual, http: manual, local: createLocalSigner({ keys, network: 'regtest', randomBytes }) },
    outbox,
    feed,
    lead: (signal, lead) => lead(signal),
    now: () => Date.now(),
    random: () => Math.random(),
    sleep: () => Promise.resolve(),
    events: {
      offered: () => undefined,
      signerAnswered: () => undefined,
      trouble: (what, error) => {
        throw new Error(`${what} is in trouble`, { cause: error });
      },
    },
    onFatal: (error) => {
      throw error;
    },
  });
}

async function runUntilSigned({ work, pool, readable }: PaymentLedger, workflow: Workflow): Promise<void> {
  for (let round = 0; round < MAX_ROUNDS; round += 1) {
    await workflow.runOnce();
    if ((await work.walletsWithWaiting(1)).length > 0) continue;
    const { rows } = await pool.query<{ open: bigint }>(
      `SELECT count(*) FILTER (WHERE type = 'PayoutStarted') - count(*) FILTER (WHERE type = 'CandidateSigned') AS open
         FROM outbox WHERE ledger = $1`,
      [LEDGER],
    );
    if (Number(rows[0]?.open) === 0) return;
    await readable();
  }
  throw new Error('the workflow does not come to rest');
}

async function transactionsAfter({ outbox }: PaymentLedger, position: bigint): Promise<PlannedTransaction[]> {
  const transactions: PlannedTransaction[] = [];
  for (let after = position; ;) {
    const page = await outbox.read(after, 1_000);
    const last = page.at(-1);
    if (last === undefined) return transactions;
    for (const { type, data } of page) {
      if (type === 'CandidatePrepared') transactions.push((data as CandidatePrepared).transaction);
    }
    after = last.position;
  }
}

/** The library on its own, with all that it needs at hand: milliseconds for the signatures alone. */
async function signWithLibrary({ keys }: PaymentLedger, transactions: readonly PlannedTransaction[]): Promise<number> {
  const master = await keys.master('hot');
  if (master === undefined) throw new Error('the wallet has no key');
  let elapsedMs = 0;
  for (const { inputs, outputs, locktime } of transactions) {
    const psbt = new Psbt({ network: networks.regtest }).setVersion(2).setLocktime(locktime);
    const signers = inputs.map(({ derivation: { branch, index } }) =>
      master.derivePath(`m/84'/1'/0'/${branch}/${index}`),
    );
    for (const { txid, vout, sequence, script, amountSats } of inputs) {
      const witnessUtxo = { script: Buffer.from(script, 'hex'), value: BigInt(amountSats) };
      psbt.addInput({ hash: txid, index: vout, sequence, witnessUtxo });
    }
    for (const { script, amountSats } of outputs) {
      psbt.addOutput({ script: Buffer.from(script, 'hex'), value: BigInt(amountSats) });
    }
    const started = performance.now();
    signers.forEach((key, index) => psbt.signInput(index, key));
    elapsedMs += performance.now() - started;
  }
  return elapsedMs;
}
