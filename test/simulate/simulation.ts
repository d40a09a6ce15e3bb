import type pg from 'pg';
import { AcceptSignedCommand, AcceptSignedHandler } from '../../src/command/handlers/accept-signed.js';
import { BumpWithdrawalCommand, BumpWithdrawalHandler } from '../../src/command/handlers/bump-withdrawal.js';
import { CancelWithdrawalCommand, CancelWithdrawalHandler } from '../../src/command/handlers/cancel-withdrawal.js';
import { CreateWalletCommand, CreateWalletHandler } from '../../src/command/handlers/create-wallet.js';
import { IssueAddressCommand, IssueAddressHandler } from '../../src/command/handlers/issue-address.js';
import { OpenAccountCommand, OpenAccountHandler } from '../../src/command/handlers/open-account.js';
import {
  RequestWithdrawalCommand,
  RequestWithdrawalHandler,
  type RequestWithdrawalInput,
} from '../../src/command/handlers/request-withdrawal.js';
import { ResolvePayoutCommand, ResolvePayoutHandler } from '../../src/command/handlers/resolve-payout.js';
import type { CommandOutcome } from '../../src/command/run-command.js';
import { addressToScript } from '../../src/bitcoin/descriptors/address-script.js';
import { signableCandidates } from '../../src/domain/payout/payout-candidates.js';
import { payoutStream } from '../../src/domain/payout/payout-state.js';
import { PlatformError } from '../../src/platform/errors.js';
import { ProblemError } from '../../src/platform/http/problem.js';
import type { PaymentPolicy } from '../../src/workflow/workflow-parts.js';
import { makeTransaction } from '../support/memory-chain.js';
import { createTestPayer, SCRIPT_KINDS } from '../support/payment-plan.js';
import { Auditor, type AuditedPayout } from './auditor.js';
import { Dice } from './dice.js';
import { Evidence } from './evidence.js';
import { chooseFaults, noFaults, type Faults } from './faults.js';
import { startProcess, type LedgerProcess } from './ledger-process.js';
import type { DomainEvent } from '../../src/domain/events/event-types.js';
import { tellEvent } from './tell-event.js';
import { LyingNode } from './lying-node.js';
import { LyingSigner } from './lying-signer.js';
import { KilledError, Life, type Death } from './mortal-store.js';
import { SimulatedChain, type KnownTransaction } from './simulated-chain.js';
import { WalletKeys } from './wallet-keys.js';

export const ACCOUNTS = ['alice', 'bob', 'carol'] as const;
export const WALLET = 'hot';
/** Where withdrawals go: nobody has the keys. Of every kind that can be paid. */
const RECIPIENTS = [
  'bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080',
  'bcrt1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3qzf4jry',
] as const;
const THIEF = `0014${'99'.repeat(20)}`;

export const POLICY: PaymentPolicy = {
  completeAt: 2,
  finalAt: 6,
  windowMs: 0,
  maxWithdrawals: 5,
  maxWeight: 100_000,
  feeBudgetPercent: 1,
  chainDepth: 1,
  maxFeeRateSatsPerKvb: 100_000n,
  fallbackFeeRateSatsPerKvb: 5_000n,
  longTermFeeRateSatsPerKvb: 10_000n,
  rebroadcastMs: 600_000,
};

/** Types at whose appends a process is killed on purpose; at any other it happens by count. */
const DEADLY = [
  'FundsReserved',
  'PayoutStarted',
  'WithdrawalAssigned',
  'CoinsReserved',
  'CandidatePrepared',
  'CandidateSigned',
  'CandidateOffered',
  'WithdrawalRemoved',
  'WithdrawalCancelled',
  'FundsReleased',
  'PayoutSettled',
  'WithdrawalSettled',
  'PayoutClosed',
  'CoinsReleased',
  'BumpRequested',
  'BumpRefused',
  'PayoutHalted',
  'PayoutResumed',
  'PayoutResolved',
  'WithdrawalFailed',
  'BlockConnected',
  'BlockDisconnected',
] as const;

export interface Asked {
  key: string;
  input: RequestWithdrawalInput & { withdrawalId: string };
  script: string;
  /** What the client was told last; undefined where the process died before it answered. */
  told: CommandOutcome | undefined;
}

export interface Deposit {
  accountId: string;
  transaction: KnownTransaction;
  amountSats: bigint;
}

const ACTIONS = {
  withdraw: 10,
  crowd: 2,
  repeat: 2,
  cancel: 3,
  bump: 3,
  sign: 0,
  mine: 12,
  reorg: 4,
  forget: 2,
  deposit: 3,
  steal: 1,
  resolve: 3,
  wait: 4,
  restart: 1,
} as const;

/** A ledger, a world that lies to it, and what is known of both. */
export class Simulation {
  readonly chain = new SimulatedChain();
  readonly evidence = new Evidence();
  readonly auditor = new Auditor(this.chain, POLICY);
  readonly keys: WalletKeys;
  /** One for each life of the process: what the dead have sent is still on its way. */
  readonly nodes: LyingNode[] = [];
  signer: LyingSigner;
  readonly asked = new Map<string, Asked>();
  readonly deposits: Deposit[] = [];
  /** Transactions made with the wallet's key by somebody else. */
  readonly foreign = new Set<string>();
  /** What happened, a line each, to be read by people. */
  readonly story: string[] = [];
  readonly signing: 'http' | 'none';
  process: LedgerProcess | undefined;
  faults: Faults;
  kills = 0;
  readonly ledger: string;
  /** All was done that can be done, and nobody lied meanwhile. */
  isAtRest = false;
  #clockMs = Date.now() + 3_600_000;
  #keys = 0;
  #addresses = new Map<string, string>();

  constructor(
    private readonly pool: pg.Pool,
    readonly seed: number,
  ) {
    this.ledger = `sim${seed}`;
    this.faults = noFaults(seed, 0);
    const dice = new Dice(seed, 'wallet');
    this.keys = new WalletKeys(createTestPayer(dice.pick(SCRIPT_KINDS), seed % 251));
    this.signing = dice.chance(0.25) ? 'none' : 'http';
    this.signer = this.#newSigner(new Life());
    this.auditor.onEvent = (event) => {
      this.#tell(event);
    };
  }

  /** Events of payments, in the story. */
  #tell({ type, data }: DomainEvent): void {
    const line = tellEvent({ type, data } as DomainEvent);
    if (line !== undefined) this.say(`      ${line}`);
  }

  say(what: string): void {
    this.story.push(`${String(this.faults.step).padStart(4)}  ${what}`);
  }

  get running(): LedgerProcess {
    if (this.process === undefined) throw new Error('no process is running');
    return this.process;
  }

  async open(): Promise<void> {
    this.say(`wallet ${this.keys.payer.receive.kind}, signer ${this.signing}`);
    await this.#start();
    this.chain.mine(1, 'nothing');
    await this.running.settle(10);
    const { parts } = this.running;
    for (const accountId of ACCOUNTS) {
      done(
        await new OpenAccountHandler(parts).execute(
          new OpenAccountCommand(this.context(), { accountId, metadata: {} }),
        ),
      );
    }
    const { descriptor } = this.keys.payer;
    const wallet = {
      walletId: WALLET,
      descriptor,
      changeDescriptor: undefined,
      gapLimit: undefined,
      signer: this.signing,
    };
    done(await new CreateWalletHandler(parts).execute(new CreateWalletCommand(this.context(), wallet)));
    await this.running.settle(10);
    for (const accountId of ACCOUNTS) {
      const issue = new IssueAddressCommand(this.context(), { walletId: WALLET, accountId });
      this.#addresses.set(accountId, String(done(await new IssueAddressHandler(parts).execute(issue))['address']));
    }
    const dice = new Dice(this.seed, 'first deposits');
    for (let n = 0; n < 6; n++) this.deposit(dice);
    this.chain.mine(1, 'mempool');
    await this.running.settle(10);
  }

  #newSigner(life: Life): LyingSigner {
    const { chain, evidence, keys } = this;
    const faults = (): Faults => this.faults;
    return new LyingSigner({ chain, evidence, keys, faults, assertAlive: () => life.assertAlive() });
  }

  async #start(): Promise<void> {
    const { pool, evidence, chain } = this;
    this.process = undefined;
    const life = new Life();
    const faults = (): Faults => this.faults;
    const node = new LyingNode({ chain, evidence, faults, assertAlive: () => life.assertAlive() });
    this.nodes.push(node);
    const signer = this.#newSigner(life);
    this.signer = signer;
    this.process = await startProcess({
      pool,
      ledger: this.ledger,
      policy: POLICY,
      source: this.chain.source,
      node,
      signer,
      evidence,
      life,
      now: () => this.#clockMs,
      random: () => new Dice(this.seed, this.faults.step, 'random').next(),
    });
  }

  /** One step: the world does something, the ledger reacts, perhaps dies of it, and then everything is looked at. */
  async step(step: number): Promise<void> {
    const dice = new Dice(this.seed, step, 'action');
    this.faults = chooseFaults(this.seed, step);
    this.isAtRest = false;
    this.#clockMs += dice.pick([100, 1_000, 30_000, 400_000]);
    for (const node of this.nodes) node.arrive();
    if (dice.chance(0.35)) this.running.life.arm(this.#death(dice));
    const action = dice.weighted({ ...ACTIONS, sign: this.signing === 'none' ? 10 : 0 });
    const rounds = dice.pick([0, 1, 3, 20]);
    await this.#live(async () => {
      await this.#act(action, dice);
      await this.running.settle(rounds);
    });
  }

  /** Runs something in the process. Where it dies of it, another takes its place. */
  async #live(task: () => Promise<void>): Promise<boolean> {
    try {
      await task();
      return true;
    } catch (error) {
      if (error instanceof KilledError || this.running.life.isDead) await this.#revive();
      else if (error instanceof PlatformError) this.say(`trouble: ${error.message}`);
      else throw error;
      return false;
    } finally {
      const [fatal] = this.running.fatal;
      if (fatal !== undefined) throw asError(fatal);
    }
  }

  #death(dice: Dice): Death {
    const moment = dice.pick(['before', 'after'] as const);
    if (dice.chance(0.3)) return { type: undefined, nth: dice.between(1, 8), moment };
    return { type: dice.pick(DEADLY), nth: dice.pick([1, 1, 2]), moment };
  }

  async #revive(): Promise<void> {
    const { death } = this.running.life;
    this.kills += 1;
    this.say(`KILLED ${death?.moment} append ${death?.nth} of ${death?.type ?? 'any type'}`);
    await this.running.close();
    await this.#start();
  }

  /** Everything is done that can be done now. */
  async rest(): Promise<void> {
    await this.running.settle(60);
    this.isAtRest = !this.faults.lies;
  }

  /** Reads what is new in the log, when the read models have it too and the chain is followed. */
  async lookAround(): Promise<void> {
    let isFollowed = false;
    while (!isFollowed) isFollowed = await this.#live(() => this.running.follow());
    await this.auditor.read(this.running.outbox);
    for (const { prepared } of this.auditor.payouts.values()) {
      for (const { changeIndex } of prepared.at(-1)?.transaction.outputs ?? []) {
        if (changeIndex !== null) this.keys.used(1, changeIndex);
      }
    }
  }

  truth(step: number): void {
    this.faults = noFaults(this.seed, step);
    this.running.life.arm(undefined);
  }

  passTime(ms: number): void {
    this.#clockMs += ms;
  }

  async close(): Promise<void> {
    await this.process?.close();
  }

  context(idempotencyKey = `key ${++this.#keys}`) {
    return { idempotencyKey, correlationId: 'simulation', traceparent: '00-0-0-00', actor: 'simulation' };
  }

  async #act(action: keyof typeof ACTIONS, dice: Dice): Promise<void> {
    switch (action) {
      case 'withdraw':
        for (let n = dice.pick([1, 1, 2, 4]); n > 0; n--) await this.ask(this.#newRequest(dice), 1);
        return;
      case 'crowd':
        return await this.ask(this.#newRequest(dice), 100);
      case 'repeat':
        return await this.#repeat(dice);
      case 'cancel':
        return await this.#cancel(dice);
      case 'bump':
        return await this.#bump(dice);
      case 'sign':
        return await this.signByHand(dice);
      case 'mine': {
        const blocks = dice.pick([1, 1, 1, 2, 3, 6]);
        const filling = dice.weighted({ mempool: 6, nothing: 2, any: 3 });
        this.chain.mine(blocks, filling, [], () => dice.chance(0.5));
        return this.say(`mined ${blocks} with ${filling}: height ${this.chain.height}`);
      }
      case 'reorg':
        return this.#reorg(dice);
      case 'forget': {
        const all = [...this.chain.mempool.keys()];
        const gone = dice.chance(0.5) ? all : all.slice(0, 1);
        for (const txid of gone) this.chain.evict(txid);
        return this.say(`the node forgets ${gone.length} of its mempool`);
      }
      case 'deposit':
        return this.deposit(dice);
      case 'steal':
        return this.#steal(dice);
      case 'resolve':
        return await this.resolve(dice);
      case 'wait': {
        const ms = dice.pick([60_000, 700_000, 3_600_000]);
        this.passTime(ms);
        return this.say(`${ms / 1_000} seconds pass`);
      }
      case 'restart':
        await this.running.close();
        await this.#start();
        return this.say('restarted');
    }
  }

  #newRequest(dice: Dice): Asked {
    const n = this.asked.size;
    const address = dice.pick(RECIPIENTS);
    const twin = dice.chance(0.1) ? [...this.asked.values()].at(-1) : undefined;
    // Amounts are all different, but for twins: so an output says whose it is.
    const amountSats = twin?.input.amountSats ?? BigInt(dice.between(1, 30) * 10_000 + n);
    const input = {
      withdrawalId: `w${n}`,
      accountId: twin?.input.accountId ?? dice.pick(ACCOUNTS),
      walletId: WALLET,
      address: twin?.input.address ?? address,
      amountSats,
      maxFeeSats: dice.pick([undefined, undefined, 300n, 2_000n, 20_000n]),
      confirmationTarget: dice.pick([undefined, 1, 2]),
    };
    const asked = { key: `withdraw ${n}`, input, script: scriptOf(input.address), told: undefined };
    this.asked.set(input.withdrawalId, asked);
    return asked;
  }

  /** Asks for a withdrawal, so many clients at once with the same key. */
  async ask(asked: Asked, clients: number): Promise<void> {
    const handler = new RequestWithdrawalHandler(this.running.parts);
    const { key, input } = asked;
    const outcomes = await Promise.allSettled(
      Array.from({ length: clients }, () => handler.execute(new RequestWithdrawalCommand(this.context(key), input))),
    );
    for (const outcome of outcomes) {
      if (outcome.status === 'fulfilled') this.#told(asked, outcome.value);
    }
    const kinds = [...new Set(outcomes.map((one) => (one.status === 'fulfilled' ? describe(one.value) : 'no answer')))];
    const fee = input.maxFeeSats ?? 'house';
    this.say(
      `${clients} ask for ${input.withdrawalId} of ${input.amountSats} (fee ${fee}) by ${input.accountId}: ${kinds.join(', ')}`,
    );
    for (const outcome of outcomes) if (outcome.status === 'rejected') throw asError(outcome.reason);
  }

  #told(asked: Asked, outcome: CommandOutcome): void {
    const before = asked.told;
    const isFinal = outcome.kind === 'done' || outcome.kind === 'rejected';
    if (!isFinal) return;
    if (before !== undefined && before.kind !== outcome.kind) {
      this.auditor.problem(`${asked.key} was told ${before.kind}, and then ${outcome.kind}`);
    }
    asked.told = outcome;
  }

  /** The same request again; or another with its id; or another with its key. */
  async #repeat(dice: Dice): Promise<void> {
    if (this.asked.size === 0) return;
    const asked = dice.pick([...this.asked.values()]);
    if (dice.chance(0.5)) return await this.ask(asked, 1);
    const handler = new RequestWithdrawalHandler(this.running.parts);
    const other = { ...asked.input, amountSats: asked.input.amountSats + 1n };
    const sameKey = dice.chance(0.5);
    const key = sameKey ? asked.key : undefined;
    const outcome = await handler.execute(new RequestWithdrawalCommand(this.context(key), other));
    this.say(`another request with the ${sameKey ? 'key' : 'id'} of ${asked.input.withdrawalId}: ${describe(outcome)}`);
    if (outcome.kind !== 'done') return;
    // Nothing came of the first: then this one is the withdrawal of that id.
    if (asked.told?.kind === 'done') this.auditor.problem(`${asked.input.withdrawalId} was taken twice`);
    this.asked.set(asked.input.withdrawalId, {
      ...asked,
      input: other,
      key: key ?? `key ${this.#keys}`,
      told: outcome,
    });
  }

  async #cancel(dice: Dice): Promise<void> {
    const open = [...this.auditor.withdrawals].filter(([, { isOver }]) => !isOver).map(([id]) => id);
    if (open.length === 0) return;
    const withdrawalId = dice.pick(open);
    const command = new CancelWithdrawalCommand(this.context(), { withdrawalId, reason: null });
    const outcome = await new CancelWithdrawalHandler(this.running.parts).execute(command);
    this.say(`cancel ${withdrawalId}: ${describe(outcome)}`);
  }

  async cancelAll(withdrawalIds: readonly string[]): Promise<void> {
    for (const withdrawalId of withdrawalIds) {
      const command = new CancelWithdrawalCommand(this.context(), { withdrawalId, reason: null });
      const outcome = await new CancelWithdrawalHandler(this.running.parts).execute(command);
      this.say(`cancel ${withdrawalId}: ${describe(outcome)}`);
    }
  }

  async #bump(dice: Dice): Promise<void> {
    const open = [...this.auditor.withdrawals].filter(([, { payoutId, isOver }]) => payoutId !== null && !isOver);
    if (open.length === 0) return;
    const [withdrawalId] = dice.pick(open);
    const feeRateSatsPerVbyte = dice.pick([undefined, 1, 4, 12, 30]);
    const command = new BumpWithdrawalCommand(this.context(), { withdrawalId, feeRateSatsPerVbyte });
    const outcome = await new BumpWithdrawalHandler(this.running.parts).execute(command);
    this.say(`bump ${withdrawalId} to ${feeRateSatsPerVbyte ?? 'what is needed'}: ${describe(outcome)}`);
  }

  #reorg(dice: Dice): void {
    // Below that it is final: nobody promises anything there.
    const depth = Math.min(dice.pick([1, 1, 2, 3, POLICY.finalAt - 1]), this.chain.height - 3);
    if (depth < 1) return;
    const lost = dice.pick(['kept', 'forgotten'] as const);
    const filling = dice.weighted({ mempool: 3, nothing: 3, any: 4 });
    // Who made a deposit sends it again.
    const first = this.deposits.map(({ transaction }) => transaction);
    this.chain.reorg(depth, lost, filling, first, () => dice.chance(0.5));
    this.say(`reorg of ${depth} blocks, transactions ${lost}, then ${filling}: height ${this.chain.height}`);
  }

  deposit(
    dice: Dice,
    accountId: string = dice.pick(ACCOUNTS),
    amountSats = BigInt(dice.between(1, 40) * 50_000),
  ): void {
    const n = this.deposits.length;
    const txid = Buffer.from(new Dice(this.seed, 'outside', n).bytes(32)).toString('hex');
    this.chain.externalCoin(`${txid}:0`, amountSats + 500n);
    const script = scriptOf(this.#addresses.get(accountId) ?? '');
    const made = makeTransaction([{ txid, vout: 0 }], [{ script: Buffer.from(script, 'hex'), amountSats }]);
    const transaction = this.chain.learn(made.toHex());
    if (transaction === undefined) throw new Error('a deposit spends a coin that exists');
    this.deposits.push({ accountId, transaction, amountSats });
    this.chain.published.add(transaction.txid);
    this.chain.admit(transaction);
    this.say(`deposit of ${amountSats} for ${accountId}`);
  }

  /** The key is used elsewhere: by a thief, or to pay the same withdrawals by hand. */
  #steal(dice: Dice): void {
    const held = [...this.auditor.reserved].filter(([outpoint]) => this.chain.isUnspent(outpoint));
    if (held.length === 0) return;
    const [outpoint, payoutId] = dice.pick(held);
    const payout = this.auditor.payout(payoutId);
    const first = payout.prepared.find(({ round, isVoid }) => round === payout.round && !isVoid);
    const inputs = first?.transaction.inputs.map(({ txid, vout }) => `${txid}:${vout}`) ?? [];
    const isPaid = dice.chance(0.4) && inputs.length > 0 && inputs.every((input) => this.chain.isUnspent(input));
    const spent = isPaid ? inputs : [outpoint];
    const worth = spent.reduce((sum, input) => sum + (this.chain.outputOf(input)?.amountSats ?? 0n), 0n);
    const paid = isPaid
      ? (first?.transaction.outputs.filter(({ withdrawalId }) => withdrawalId !== null) ?? []).map(
          ({ script, amountSats }) => ({ script, amountSats: BigInt(amountSats) }),
        )
      : [];
    const left = worth - paid.reduce((sum, { amountSats }) => sum + amountSats, 0n) - 300n;
    const outputs = left > 1_000n ? [...paid, { script: THIEF, amountSats: left }] : paid;
    if (outputs.length === 0) return;
    const transaction = this.chain.learn(this.signer.steal(spent, outputs, dice));
    if (transaction === undefined) throw new Error('a thief spends coins that exist');
    this.chain.published.add(transaction.txid);
    this.foreign.add(transaction.txid);
    this.chain.mine(1, 'mempool', [transaction]);
    this.say(
      `FOREIGN ${transaction.txid.slice(0, 8)} ${isPaid ? 'pays for' : 'takes a coin of'} payout ${payoutId.slice(0, 8)}: height ${this.chain.height}`,
    );
  }

  haltedPayouts(): [string, AuditedPayout][] {
    return [...this.auditor.payouts].filter(([, { halted, end }]) => halted !== null && end === null);
  }

  async resolve(dice: Dice): Promise<void> {
    for (const [payoutId, payout] of this.haltedPayouts()) await this.#resolveOne(dice, payoutId, payout);
  }

  async #resolveOne(dice: Dice, payoutId: string, payout: AuditedPayout): Promise<void> {
    const byTxid = payout.halted?.byTxid ?? '';
    const outcome = dice.pick(['paid', 'pay-again', 'give-up'] as const);
    const pays = this.paysAll(byTxid, payout);
    // A person that says what is not true has to be refused where it can be known; what else is said is their decision.
    if (pays && outcome !== 'paid') return;
    const command = new ResolvePayoutCommand(this.context(), { payoutId, outcome, byTxid, note: '' });
    const result = await new ResolvePayoutHandler(this.running.parts).execute(command);
    this.say(`resolve ${payoutId.slice(0, 8)} as ${outcome}: ${describe(result)}`);
    if (result.kind !== 'done') return;
    const { finalAt } = payout.started;
    if (this.chain.confirmations(byTxid) < finalAt)
      this.auditor.problem(`${payoutId} was resolved by what is not buried`);
    if (outcome === 'paid' && !pays) this.auditor.problem(`${payoutId} was resolved as paid, and is not`);
  }

  /** Whether the transaction pays every withdrawal of the payout, each with an output of its own. */
  paysAll(txid: string, { started }: AuditedPayout): boolean {
    const left = [...(this.chain.known.get(txid)?.outputs ?? [])];
    const open = started.withdrawals.filter(
      ({ withdrawalId }) => this.auditor.withdrawal(withdrawalId).end !== 'cancelled',
    );
    return open.every(({ script, amountSats }) => {
      const at = left.findIndex((output) => output.script === script && output.amountSats === BigInt(amountSats));
      if (at >= 0) left.splice(at, 1);
      return at >= 0;
    });
  }

  /** A person fetches what is to be signed, and brings it back. */
  async signByHand(dice: Dice): Promise<void> {
    const { parts } = this.running;
    for (const [payoutId, payout] of this.auditor.payouts) {
      if (payout.end !== null || this.signing !== 'none') continue;
      const state = await parts.payouts.read(payoutStream(payoutId));
      const [newest] = signableCandidates(state);
      if (newest === undefined || state.phase === 'halted' || newest.signed.length > 1) continue;
      if (newest.signed.length === 1 && !dice.chance(0.1)) continue;
      if (parts.signing === undefined) throw new Error('PSBTs are made here');
      const psbt = await parts.signing.buildPsbt(state, newest);
      const answer = await this.signer.sign({ payoutId, walletId: WALLET, psbt });
      if (answer.kind !== 'signed') continue;
      const command = new AcceptSignedCommand(this.context(), { payoutId, signed: answer.signed });
      const outcome = await new AcceptSignedHandler(parts).execute(command).catch((error: unknown) => {
        if (error instanceof ProblemError) return undefined;
        throw error;
      });
      this.say(`signed by hand for ${payoutId.slice(0, 8)}: ${outcome === undefined ? 'refused' : describe(outcome)}`);
    }
  }
}

export function scriptOf(address: string): string {
  const script = addressToScript(address, 'regtest');
  if (script === undefined) throw new Error(`not an address: ${address}`);
  return Buffer.from(script).toString('hex');
}

function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error('something was thrown that is no error', { cause: thrown });
}

function done(outcome: CommandOutcome): Readonly<Record<string, unknown>> {
  if (outcome.kind !== 'done') throw new Error(`command failed: ${describe(outcome)}`);
  return outcome.body;
}

function describe(outcome: CommandOutcome): string {
  return outcome.kind === 'rejected' ? outcome.code : outcome.kind;
}
