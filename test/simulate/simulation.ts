import type pg from 'pg';
import { CreateWalletCommand, CreateWalletHandler } from '../../src/command/handlers/create-wallet.js';
import { IssueAddressCommand, IssueAddressHandler } from '../../src/command/handlers/issue-address.js';
import { OpenAccountCommand, OpenAccountHandler } from '../../src/command/handlers/open-account.js';
import type { DomainEvent } from '../../src/domain/events/event-types.js';
import type { Signer } from '../../src/domain/events/wallet-events.js';
import { PlatformError } from '../../src/platform/errors.js';
import { createTestPayer, SCRIPT_KINDS } from '../support/payment-plan.js';
import { Auditor } from './auditor.js';
import { ask, bump, cancelOne, newRequest, repeat, resolve, signByHand } from './clients.js';
import { Dice } from './dice.js';
import { Evidence } from './evidence.js';
import { chooseFaults, noFaults, type Faults } from './faults.js';
import { startProcess, type LedgerProcess } from './ledger-process.js';
import { LyingNode } from './lying-node.js';
import { LyingSigner } from './lying-signer.js';
import { KilledError, Life, type Death } from './mortal-store.js';
import { ACCOUNTS, ACTIONS, asError, DEADLY, done, POLICY, WALLETS, type Asked, type Deposit } from './scenario.js';
import { SimulatedChain } from './simulated-chain.js';
import { tellEvent } from './tell-event.js';
import { Turns } from './turns.js';
import { WalletKeys } from './wallet-keys.js';
import { deposit, forget, mine, reorg, steal } from './world.js';

interface SimulatedWallet {
  keys: WalletKeys;
  signing: Extract<Signer, 'http' | 'none'>;
}

/** A ledger, a world that lies to it, and what is known of both. */
export class Simulation {
  readonly chain = new SimulatedChain();
  readonly evidence = new Evidence();
  readonly auditor = new Auditor(this.chain, POLICY);
  readonly wallets: ReadonlyMap<string, SimulatedWallet>;
  /** One for each life of the process: what the dead have sent is still on its way. */
  readonly nodes: LyingNode[] = [];
  signer: LyingSigner;
  readonly asked = new Map<string, Asked>();
  readonly deposits: Deposit[] = [];
  /** Transactions made with a wallet's key by somebody else. */
  readonly foreign = new Set<string>();
  /** What happened, a line each, to be read by people. */
  readonly story: string[] = [];
  process: LedgerProcess | undefined;
  faults: Faults;
  kills = 0;
  readonly ledger: string;
  /** All was done that can be done, and nobody lied meanwhile. */
  isAtRest = false;
  #clockMs = Date.now() + 3_600_000;
  #keys = 0;
  #turnsDice: Dice;
  readonly #turns: Turns;
  readonly #addresses = new Map<string, string>();

  constructor(
    private readonly pool: pg.Pool,
    readonly seed: number,
    run: string,
    pause?: () => Promise<void>,
  ) {
    this.ledger = `sim${seed}${run}`;
    this.#turns = new Turns(() => this.#turnsDice, pause);
    this.faults = noFaults(seed, 0);
    this.#turnsDice = new Dice(seed, 'turns');
    this.wallets = new Map(
      WALLETS.map((walletId, n) => {
        const dice = new Dice(seed, 'wallet', n);
        const keys = new WalletKeys(createTestPayer(dice.pick(SCRIPT_KINDS), (2 * seed + n) % 251));
        return [walletId, { keys, signing: dice.chance(0.35) ? 'none' : 'http' }];
      }),
    );
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

  readonly say = (what: string): void => {
    this.story.push(`${String(this.faults.step).padStart(4)}  ${what}`);
  };

  get running(): LedgerProcess {
    if (this.process === undefined) throw new Error('no process is running');
    return this.process;
  }

  /** Scripts that may hold coins of a wallet. */
  readonly scriptsOf = (walletId: string): ReadonlySet<string> => this.walletOf(walletId).keys.scripts();

  walletOf(walletId: string): SimulatedWallet {
    const wallet = this.wallets.get(walletId);
    if (wallet === undefined) throw new Error(`there is no wallet ${walletId}`);
    return wallet;
  }

  addressOf(accountId: string, walletId: string): string {
    return this.#addresses.get(`${accountId} ${walletId}`) ?? '';
  }

  async open(): Promise<void> {
    await this.#start();
    this.chain.mine(1, 'nothing');
    await this.running.settle(10);
    const { parts } = this.running;
    for (const accountId of ACCOUNTS) {
      const account = new OpenAccountCommand(this.context(), { accountId, metadata: {} });
      done(await new OpenAccountHandler(parts).execute(account));
    }
    for (const [walletId, { keys, signing: signer }] of this.wallets) {
      this.say(`wallet ${walletId} of ${keys.payer.receive.kind}, signer ${signer}`);
      const { descriptor } = keys.payer;
      const wallet = { walletId, descriptor, changeDescriptor: undefined, gapLimit: undefined, signer };
      done(await new CreateWalletHandler(parts).execute(new CreateWalletCommand(this.context(), wallet)));
      await this.running.settle(10);
      for (const accountId of ACCOUNTS) {
        const issue = new IssueAddressCommand(this.context(), { walletId, accountId });
        const { address } = done(await new IssueAddressHandler(parts).execute(issue));
        this.#addresses.set(`${accountId} ${walletId}`, String(address));
      }
    }
    const dice = new Dice(this.seed, 'first deposits');
    for (let n = 0; n < 9; n++) deposit(this, dice);
    this.chain.mine(1, 'mempool');
    await this.running.settle(10);
  }

  #newSigner(life: Life): LyingSigner {
    const { chain, evidence } = this;
    const faults = (): Faults => this.faults;
    const keysOf = (walletId: string): WalletKeys => this.walletOf(walletId).keys;
    return new LyingSigner({ chain, evidence, keysOf, faults, say: this.say, assertAlive: () => life.assertAlive() });
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
      turns: this.#turns,
      now: () => this.#clockMs,
      random: () => new Dice(this.seed, this.faults.step, 'random').next(),
    });
  }

  /** One step: the world does something, the ledger reacts, perhaps dies of it, and then everything is looked at. */
  async step(step: number): Promise<void> {
    const dice = new Dice(this.seed, step, 'action');
    this.#turnsDice = new Dice(this.seed, step, 'turns');
    this.faults = chooseFaults(this.seed, step);
    this.isAtRest = false;
    this.#clockMs += dice.pick([100, 1_000, 30_000, 400_000]);
    for (const node of this.nodes) node.arrive();
    if (dice.chance(0.35)) this.running.life.arm(this.#death(dice));
    const isSignedByHand = [...this.wallets.values()].some(({ signing }) => signing === 'none');
    const action = dice.weighted({ ...ACTIONS, sign: isSignedByHand ? 10 : 0 });
    const rounds = dice.pick([0, 1, 3, 20]);
    const leaders = dice.pick([1, 1, 2]);
    await this.#live(async () => {
      await this.#act(action, dice);
      await this.running.settle(rounds, leaders);
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
    for (const { prepared, started } of this.auditor.payouts.values()) {
      for (const { changeIndex } of prepared.at(-1)?.transaction.outputs ?? []) {
        if (changeIndex !== null) this.walletOf(started.walletId).keys.used(1, changeIndex);
      }
    }
  }

  truth(step: number): void {
    this.faults = noFaults(this.seed, step);
    this.#turnsDice = new Dice(this.seed, step, 'turns');
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
        for (let n = dice.pick([1, 1, 2, 4]); n > 0; n--) await ask(this, newRequest(this, dice), 1);
        return;
      case 'crowd':
        return await ask(this, newRequest(this, dice), 100);
      case 'repeat':
        return await repeat(this, dice);
      case 'cancel':
        return await cancelOne(this, dice);
      case 'bump':
        return await bump(this, dice);
      case 'sign':
        return await signByHand(this, dice);
      case 'mine':
        return mine(this, dice);
      case 'reorg':
        return reorg(this, dice);
      case 'forget':
        return forget(this, dice);
      case 'deposit':
        return deposit(this, dice);
      case 'steal':
        return steal(this, dice);
      case 'resolve':
        return await resolve(this, dice);
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
}
