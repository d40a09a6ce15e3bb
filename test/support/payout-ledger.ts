import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { addressToScript } from '../../src/bitcoin/descriptors/address-script.js';
import { createFollower } from '../../src/bitcoin/follow/follower.js';
import { createLocalKeys } from '../../src/bitcoin/keys/local-keys.js';
import { createBuiltinPaymentNode } from '../../src/bitcoin/payment/builtin-payment-node.js';
import { createLocalSigner } from '../../src/bitcoin/payment/local-signer.js';
import { checkSigned } from '../../src/bitcoin/payment/check-signed.js';
import { createManualSigner } from '../../src/bitcoin/payment/manual-signer.js';
import type { PaymentNode } from '../../src/bitcoin/payment/payment-node.js';
import type { PsbtSigner } from '../../src/bitcoin/payment/signer.js';
import type { RegtestChain } from '../../src/bitcoin/regtest/regtest-chain.js';
import { createRegtestSource } from '../../src/bitcoin/regtest/regtest-source.js';
import { createChainEvidence } from '../../src/app/chain-evidence.js';
import { createCommandReads } from '../../src/app/command-reads.js';
import { createCommandParts, type CommandParts } from '../../src/command/command-parts.js';
import { decidedEvents } from '../../src/command/decided-events.js';
import { CreateWalletCommand, CreateWalletHandler } from '../../src/command/handlers/create-wallet.js';
import { IssueAddressCommand, IssueAddressHandler } from '../../src/command/handlers/issue-address.js';
import { OpenAccountCommand, OpenAccountHandler } from '../../src/command/handlers/open-account.js';
import { createLedgerCommands, type LedgerCommands } from '../../src/command/ledger-commands.js';
import { AcceptSignedCommand, AcceptSignedHandler } from '../../src/command/handlers/accept-signed.js';
import { BumpWithdrawalCommand, BumpWithdrawalHandler } from '../../src/command/handlers/bump-withdrawal.js';
import { CancelWithdrawalCommand, CancelWithdrawalHandler } from '../../src/command/handlers/cancel-withdrawal.js';
import { ResolvePayoutCommand, ResolvePayoutHandler } from '../../src/command/handlers/resolve-payout.js';
import { createPostgresCommandLog } from '../../src/command/postgres-command-log.js';
import type { CommandOutcome } from '../../src/command/run-command.js';
import { accountStream } from '../../src/domain/account/account-state.js';
import { reserveFunds } from '../../src/domain/account/reserve-funds.js';
import type { PlannedTransaction } from '../../src/domain/events/payout-events.js';
import type { Signer } from '../../src/domain/events/wallet-events.js';
import type { Found } from '../../src/domain/events/chain-events.js';
import type { DomainEvent } from '../../src/domain/events/event-types.js';
import { postingsOf } from '../../src/domain/postings-of.js';
import { payoutStream } from '../../src/domain/payout/payout-state.js';
import { isRejection } from '../../src/domain/rejection.js';
import type { EventStore, RecordedEvent } from '../../src/eventstore/event-store.js';
import { createPostgresEventStore } from '../../src/eventstore/postgres-event-store.js';
import { createPostgresFeed } from '../../src/outbox/postgres-feed.js';
import { createPostgresOutbox } from '../../src/outbox/postgres-outbox.js';
import { ALL_PROJECTIONS } from '../../src/projections/all-projections.js';
import { createPayoutWork, type PayoutWork } from '../../src/projections/read/payout-work.js';
import { rebuildProjections } from '../../src/projections/rebuild/rebuild-projections.js';
import { createProjectionRunner } from '../../src/projections/runner/projection-runner.js';
import { createManualSigning } from '../../src/workflow/payout-signing.js';
import { unsignedPsbt } from '../../src/workflow/steps/sign.js';
import type { WorkflowOptions, Workflow } from '../../src/workflow/workflow.js';
import { createWorkflow } from '../../src/workflow/workflow.js';
import type { PaymentPolicy } from '../../src/workflow/workflow-parts.js';
import type { TestDatabase } from './database.js';
import type { TestPayer } from './payment-plan.js';
import { accepted } from './regtest-coins.js';
import { openTestChain, temporaryDirectory } from './test-chain.js';

/** Rounds until nothing is to be done now; more mean that the workflow turns in circles. */
const MAX_ROUNDS = 60;
const READ_WAIT_MS = 10_000;

export const TEST_POLICY: PaymentPolicy = {
  completeAt: 2,
  finalAt: 6,
  windowMs: 0,
  maxWithdrawals: 200,
  maxWeight: 100_000,
  feeBudgetPercent: 1,
  chainDepth: 1,
  maxFeeRateSatsPerKvb: 500_000n,
  fallbackFeeRateSatsPerKvb: 5_000n,
  longTermFeeRateSatsPerKvb: 10_000n,
  rebroadcastMs: 600_000,
};

export interface PayoutLedgerOptions {
  policy?: Partial<PaymentPolicy>;
  signer?: Signer;
  /** Whose keys the wallet has; else it has keys of the ledger, of p2wpkh. Not for `local`. */
  payer?: TestPayer;
  /** Change what the workflow has to do with. */
  wrapNode?: (node: PaymentNode) => PaymentNode;
  wrapSigners?: (signers: Record<Signer, PsbtSigner>) => Record<Signer, PsbtSigner>;
  /** The store that the workflow's commands write to. */
  wrapStore?: (store: EventStore) => EventStore;
}

export interface WithdrawalRequest {
  withdrawalId: string;
  amountSats: bigint;
  address?: string;
  maxFeeSats?: bigint | null;
  confirmationTarget?: number;
  accountId?: string;
}

export interface PayoutLedger {
  ledger: string;
  chain: RegtestChain;
  store: EventStore;
  parts: CommandParts;
  commands: LedgerCommands;
  work: PayoutWork;
  workflow: Workflow;
  trouble: unknown[];
  fatal: unknown[];
  clock: { aheadMs: number };
  /** A new workflow, as after a restart of the process: with nothing remembered. */
  restart(): void;
  /** The workflow of another process on the same database: with a memory of its own. Not started. */
  another(lead?: WorkflowOptions['lead']): Workflow;
  withdraw(request: WithdrawalRequest): Promise<void>;
  /** Follows the chain, and has the workflow do all that can be done now. */
  settle(): Promise<void>;
  mine(blocks?: number, transactions?: readonly string[]): Promise<void>;
  /** All events, or those of some types. */
  events(...types: string[]): Promise<RecordedEvent[]>;
  payoutIds(): Promise<string[]>;
  /** Opens an account with confirmed coins of these amounts in the wallet. */
  fund(accountId: string, amountsSats: readonly bigint[]): Promise<void>;
  /** One more coin for such an account, in a block. */
  deposit(accountId: string, amountSats: bigint): Promise<void>;
  /** Follows the chain; then the read models know what is in the log. */
  follow(): Promise<void>;
  /** Brings back what was signed elsewhere. */
  bringBack(payoutId: string, signed: string): Promise<CommandOutcome>;
  cancel(withdrawalId: string): Promise<CommandOutcome>;
  bump(withdrawalId: string, feeRateSatsPerVbyte?: number): Promise<CommandOutcome>;
  resolve(payoutId: string, outcome: 'pay-again' | 'paid' | 'give-up', byTxid: string): Promise<CommandOutcome>;
  /** Signs anything with the wallet's own key, as a thief with a copy of it could: the raw transaction in hex. */
  signWithKey(transaction: PlannedTransaction): Promise<{ txid: string; transaction: string }>;
  /** What an address has got on the best chain, by output. */
  receivedAt(address: string): bigint[];
  books(): Promise<Map<string, bigint>>;
  close(): Promise<void>;
}

/** Where test withdrawals go: keys of nobody. */
export const RECIPIENTS = [
  'bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080',
  'bcrt1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3qzf4jry',
] as const;

/** A whole ledger in this process on the built-in chain: account `alice` with money in wallet `hot`, and the workflow that pays. */
export async function openPayoutLedger(
  { pool }: Pick<TestDatabase, 'pool'>,
  ledger: string,
  options: PayoutLedgerOptions = {},
): Promise<PayoutLedger> {
  const chain = await openTestChain();
  const feed = createPostgresFeed({ pool, ledger });
  const store = createPostgresEventStore({
    pool,
    ledger,
    onCommitted: (batch) => {
      feed.committed(batch);
    },
  });
  const outbox = createPostgresOutbox({ pool, ledger });
  const fatal: unknown[] = [];
  const trouble: unknown[] = [];
  const onFatal = (error: unknown): void => {
    fatal.push(error);
  };
  const runner = createProjectionRunner({
    pool,
    ledger,
    feed,
    projections: ALL_PROJECTIONS,
    rebuild: (names) => rebuildProjections({ pool, ledger, projections: ALL_PROJECTIONS, names }),
    onFatal,
    onHalt: onFatal,
  });
  await runner.start();
  const source = createRegtestSource(chain);
  const follower = createFollower({
    ledger,
    network: 'regtest',
    store,
    outbox,
    source,
    startBlock: undefined,
    depositConfirmations: 1,
    finalityDepth: 144,
    now: () => Date.now(),
    random: () => 0.5,
    onFatal,
  });
  await follower.start();
  const node = createBuiltinPaymentNode(chain);
  const wrapped = options.wrapNode?.(node) ?? node;
  const work = createPayoutWork({ database: pool, ledger, progress: runner });
  const directory = join(temporaryDirectory(), 'keys');
  const keys = createLocalKeys({ directory, network: 'regtest', randomBytes });
  const partsOn = (on: EventStore): CommandParts =>
    createCommandParts({
      ledger,
      network: 'regtest',
      store: on,
      reads: createCommandReads(pool, ledger, runner),
      log: createPostgresCommandLog({ pool, outbox }),
      keys,
      sleep: () => Promise.resolve(),
      signing: createManualSigning({
        network: 'regtest',
        node: wrapped,
        walletOf: (walletId) => work.wallet(walletId),
      }),
      evidence: createChainEvidence({ pool, ledger, blocks: (hashes) => source.blocks(hashes) }),
    });
  const parts = partsOn(store);
  const clock = { aheadMs: 0 };
  const signers: Record<Signer, PsbtSigner> = {
    none: createManualSigner(),
    http: createManualSigner(),
    local: createLocalSigner({ keys, network: 'regtest', randomBytes }),
  };
  let keysUsed = 0;
  let seed = 1;
  const workflowOn = (commands: LedgerCommands, lead: WorkflowOptions['lead']): Workflow => {
    const workflowOptions: WorkflowOptions = {
      network: 'regtest',
      policy: { ...TEST_POLICY, ...options.policy },
      commands,
      work,
      node: wrapped,
      signers: options.wrapSigners?.(signers) ?? signers,
      outbox,
      feed,
      lead,
      now: () => Date.now() + clock.aheadMs,
      random: () => {
        // A linear congruential generator: the same choices in every run.
        seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
        return seed / 2_147_483_648;
      },
      sleep: (ms, signal) => pause(ms, undefined, { signal }).catch(() => undefined),
      events: {
        offered: () => undefined,
        signerAnswered: () => undefined,
        trouble: (what, error) => trouble.push({ what, error }),
      },
      onFatal,
    };
    return createWorkflow(workflowOptions);
  };
  const newWorkflow = (): { commands: LedgerCommands; workflow: Workflow } => {
    const commands = createLedgerCommands(options.wrapStore === undefined ? parts : partsOn(options.wrapStore(store)));
    return { commands, workflow: workflowOn(commands, (signal, work) => work(signal)) };
  };

  const follow = async (): Promise<void> => {
    await follower.syncNow();
    await runner.waitFor(await outbox.head(), undefined, READ_WAIT_MS);
  };
  const addresses = new Map<string, string>();
  const self: PayoutLedger = {
    ledger,
    chain,
    store,
    parts,
    work,
    ...newWorkflow(),
    trouble,
    fatal,
    clock,
    another: (lead) => workflowOn(createLedgerCommands(partsOn(store)), lead ?? ((signal, work) => work(signal))),
    restart: () => {
      Object.assign(self, newWorkflow());
    },
    withdraw: (request) => withdraw(parts, request),
    settle: async () => {
      for (let round = 0, quiet = 0; round < MAX_ROUNDS; round++) {
        await follow();
        const before = await outbox.head();
        await self.workflow.runOnce();
        if (fatal.length > 0) throw fatal[0];
        quiet = (await outbox.head()) === before ? quiet + 1 : 0;
        if (quiet === 2) return;
      }
      throw new Error('the workflow does not come to rest');
    },
    mine: async (blocks = 1, transactions) => {
      accepted(await chain.mine({ blocks, ...(transactions === undefined ? {} : { transactions }) }));
      await follow();
    },
    events: async (...types) => {
      const all: RecordedEvent[] = [];
      for (;;) {
        const page = await outbox.read(all.at(-1)?.position ?? 0n, 1_000);
        if (page.length === 0) break;
        all.push(...page);
      }
      return types.length === 0 ? all : all.filter(({ type }) => types.includes(type));
    },
    payoutIds: async () =>
      (await self.events('PayoutStarted')).map(({ stream }) => stream.slice(payoutStream('').length)),
    receivedAt: (address) => {
      const script = Buffer.from(scriptOf(address), 'hex');
      return [...chain.coins().values()]
        .filter((coin) => Buffer.compare(coin.script, script) === 0)
        .map((coin) => coin.amountSats);
    },
    fund: async (accountId, amountsSats) => {
      const account = new OpenAccountCommand(context(`account ${accountId}`), { accountId, metadata: {} });
      done(await new OpenAccountHandler(parts).execute(account));
      await follow();
      const issue = new IssueAddressCommand(context(`address ${accountId}`), { walletId: 'hot', accountId });
      addresses.set(accountId, String(done(await new IssueAddressHandler(parts).execute(issue))['address']));
      await follow();
      for (const amountSats of amountsSats) await self.deposit(accountId, amountSats);
    },
    deposit: async (accountId, amountSats) => {
      accepted(await chain.pay({ address: addresses.get(accountId) ?? '', amountSats }));
      await self.mine();
    },
    follow,
    bringBack: (payoutId, signed) =>
      new AcceptSignedHandler(parts).execute(
        new AcceptSignedCommand(context(`signed ${++keysUsed}`), { payoutId, signed }),
      ),
    cancel: (withdrawalId) =>
      new CancelWithdrawalHandler(parts).execute(
        new CancelWithdrawalCommand(context(`cancel ${++keysUsed}`), { withdrawalId, reason: null }),
      ),
    bump: (withdrawalId, feeRateSatsPerVbyte) =>
      new BumpWithdrawalHandler(parts).execute(
        new BumpWithdrawalCommand(context(`bump ${++keysUsed}`), { withdrawalId, feeRateSatsPerVbyte }),
      ),
    resolve: (payoutId, outcome, byTxid) =>
      new ResolvePayoutHandler(parts).execute(
        new ResolvePayoutCommand(context(`resolve ${++keysUsed}`), { payoutId, outcome, byTxid, note: '' }),
      ),
    signWithKey: async (transaction) => {
      const walletOf = (walletId: string) => work.wallet(walletId);
      const psbt = await unsignedPsbt({ network: 'regtest', node, walletOf }, 'hot', transaction);
      const { payer } = options;
      const answer =
        payer === undefined
          ? await signers.local.sign({ payoutId: 'none', walletId: 'hot', psbt })
          : { kind: 'signed' as const, signed: await payer.sign(psbt) };
      if (answer.kind !== 'signed') throw new Error(answer.detail);
      const checked = checkSigned(answer.signed, transaction);
      if (checked.kind !== 'complete') throw new Error(JSON.stringify(checked));
      return checked;
    },
    books: async () => booksOf(await self.events()),
    close: async () => {
      await follower.stop();
      await store.close();
      await runner.stop();
      await feed.close();
    },
  };
  try {
    await fill(self, options, follow);
  } catch (error) {
    await self.close();
    throw error;
  }
  return self;
}

/** Balances of all books, from the log alone. */
function booksOf(events: readonly RecordedEvent[]): Map<string, bigint> {
  const books = new Map<string, bigint>();
  const blocks = new Map<string, Found>();
  for (const { type, data } of events) {
    const event = { type, data } as DomainEvent;
    if (event.type === 'BlockConnected') blocks.set(event.data.hash, event.data.found);
    const isBlock = event.type === 'BlockConnected' || event.type === 'BlockDisconnected';
    for (const { book, amountSats } of postingsOf(event, isBlock ? blocks.get(event.data.hash) : undefined)) {
      books.set(book, (books.get(book) ?? 0n) + amountSats);
    }
  }
  return books;
}

const context = (idempotencyKey: string) => ({
  idempotencyKey,
  correlationId: 'test',
  traceparent: 'test',
  actor: 'test',
});

function done(outcome: CommandOutcome): Readonly<Record<string, unknown>> {
  if (outcome.kind !== 'done') throw new Error(`command failed: ${JSON.stringify(outcome)}`);
  return outcome.body;
}

/** Ten coins of 0.1 bitcoin for alice. */
async function fill(
  { parts, chain }: PayoutLedger,
  { signer = 'local', payer }: PayoutLedgerOptions,
  follow: () => Promise<void>,
): Promise<void> {
  done(
    await new OpenAccountHandler(parts).execute(
      new OpenAccountCommand(context('account'), { accountId: 'alice', metadata: {} }),
    ),
  );
  const { descriptor } = payer ?? (await parts.keys.ensure('hot'));
  done(
    await new CreateWalletHandler(parts).execute(
      new CreateWalletCommand(context('wallet'), {
        walletId: 'hot',
        descriptor: signer === 'local' ? undefined : descriptor,
        changeDescriptor: undefined,
        gapLimit: undefined,
        signer,
      }),
    ),
  );
  await follow();
  const issued = done(
    await new IssueAddressHandler(parts).execute(
      new IssueAddressCommand(context('address'), { walletId: 'hot', accountId: 'alice' }),
    ),
  );
  await follow();
  for (let n = 0; n < 10; n++) {
    accepted(await chain.pay({ address: String(issued['address']), amountSats: 10_000_000n }));
  }
  accepted(await chain.mine({ blocks: 1 }));
  await follow();
}

function scriptOf(address: string): string {
  const script = addressToScript(address, 'regtest');
  if (!(script instanceof Uint8Array)) throw new Error(`not an address: ${address}`);
  return Buffer.from(script).toString('hex');
}

async function withdraw({ accounts, ledger, reads }: CommandParts, request: WithdrawalRequest): Promise<void> {
  const { withdrawalId, amountSats, maxFeeSats = null, confirmationTarget = 6, accountId = 'alice' } = request;
  const address = request.address ?? RECIPIENTS[0];
  const stream = accountStream(accountId);
  const result = await accounts.run({
    stream,
    prepare: () => reads.creditsSats(accountId),
    decide: (state, creditsSats) => {
      const command = {
        withdrawalId,
        accountId,
        walletId: 'hot',
        address,
        script: scriptOf(address),
        amountSats,
        maxFeeSats,
        confirmationTarget,
      };
      const facts = { creditsSats, withdrawalExists: false, dustSats: 546n, maxSats: 2_100_000_000_000_000n };
      const events = reserveFunds(command, state, facts);
      return isRejection(events) ? events : { events, detail: undefined };
    },
    toAppend: ({ events }, revision) => ({
      events: decidedEvents(events, { ledger, stream, revision }, {}),
      idempotency: undefined,
    }),
  });
  if (result.kind !== 'appended') throw new Error(`withdrawal ${withdrawalId} was refused: ${JSON.stringify(result)}`);
}
