import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { BlockSource } from '../bitcoin/block-source.js';
import type { LocalKeys } from '../bitcoin/keys/local-keys.js';
import { createBuiltinPaymentNode } from '../bitcoin/payment/builtin-payment-node.js';
import { createHttpSigner } from '../bitcoin/payment/http-signer.js';
import { createLocalSigner } from '../bitcoin/payment/local-signer.js';
import { createManualSigner } from '../bitcoin/payment/manual-signer.js';
import { createNoPaymentNode } from '../bitcoin/payment/no-payment-node.js';
import type { PaymentNode } from '../bitcoin/payment/payment-node.js';
import { createRpcPaymentNode } from '../bitcoin/payment/rpc-payment-node.js';
import type { PsbtSigner } from '../bitcoin/payment/signer.js';
import type { RegtestChain } from '../bitcoin/regtest/regtest-chain.js';
import type { LedgerCommands } from '../command/ledger-commands.js';
import type { Signer } from '../domain/events/wallet-events.js';
import type { Outbox, OutboxFeed } from '../outbox/outbox.js';
import { invariant } from '../platform/assert.js';
import type { Config } from '../platform/config.js';
import { RetryableError } from '../platform/errors.js';
import type { Logger } from '../platform/logger.js';
import type { LedgerMetrics } from '../platform/metrics.js';
import { withLease } from '../platform/postgres/lease.js';
import { createWorkflow, type Workflow } from '../workflow/workflow.js';
import type { PayoutWork } from '../workflow/ports.js';
import type { PaymentPolicy, WorkflowEvents } from '../workflow/workflow-parts.js';
import { asRead } from './chain-evidence.js';
import type { LedgerContext } from './process-parts.js';

/** What is sent again though a node took it: often enough that an eviction is not noticed by a customer. */
const REBROADCAST_MS = 600_000;

/** The node that payments go through, by the source of blocks. */
export function openPaymentNode(
  config: Config,
  chain: { source: Pick<BlockSource, 'blocks'>; regtest: RegtestChain | undefined },
): PaymentNode {
  const blocks: BlockSource['blocks'] = (hashes) => chain.source.blocks(hashes);
  switch (config.source) {
    case 'builtin':
      invariant(chain.regtest !== undefined, 'the built-in chain is there');
      return createBuiltinPaymentNode(chain.regtest);
    case 'rpc':
      invariant(config.rpcUrl !== undefined, 'a node has a URL');
      return createRpcPaymentNode({ url: config.rpcUrl, blocks });
    case 'push':
      return createNoPaymentNode({ blocks });
  }
}

/** Signers by kind. One that is not configured says so each time that a wallet asks for it. */
export function openSigners(config: Config, keys: LocalKeys): Record<Signer, PsbtSigner> {
  const { network, signerUrl, signerSecret, signerTimeoutMs } = config;
  const keepsKeys = network === 'regtest' || network === 'signet';
  return {
    none: createManualSigner(),
    http:
      signerUrl === undefined || signerSecret === undefined
        ? absentSigner('http', 'SIGNER_URL and SIGNER_SECRET are not set.')
        : createHttpSigner({ url: signerUrl, secret: signerSecret, timeoutMs: signerTimeoutMs, now: () => Date.now() }),
    local: keepsKeys
      ? createLocalSigner({ keys, network, randomBytes })
      : absentSigner('local', `The ledger keeps no keys on ${network}.`),
  };
}

function absentSigner(name: Signer, detail: string): PsbtSigner {
  return { name, sign: () => Promise.resolve({ kind: 'unavailable', detail }) };
}

export function paymentPolicy(config: Config): PaymentPolicy {
  return {
    completeAt: config.withdrawalConfirmations,
    finalAt: Math.max(config.finalityDepth, config.withdrawalConfirmations),
    windowMs: config.payoutWindowMs,
    maxWithdrawals: config.payoutMaxWithdrawals,
    maxWeight: config.payoutMaxWeight,
    feeBudgetPercent: config.payoutFeeBudgetPercent,
    chainDepth: config.payoutChainDepth,
    maxFeeRateSatsPerKvb: config.maxFeeRateSatsPerKvb,
    fallbackFeeRateSatsPerKvb: config.fallbackFeeRateSatsPerKvb ?? null,
    longTermFeeRateSatsPerKvb: config.longTermFeeRateSatsPerKvb,
    rebroadcastMs: REBROADCAST_MS,
  };
}

export interface OpenWorkflowOptions {
  commands: LedgerCommands;
  work: PayoutWork;
  node: PaymentNode;
  signers: Record<Signer, PsbtSigner>;
  outbox: Outbox;
  feed: OutboxFeed;
}

/** What pays withdrawals, started. Of several processes on one database one leads; another takes over. */
export function openWorkflow(context: LedgerContext, options: OpenWorkflowOptions): Workflow {
  const { config, ledger, enginePool: pool, measured, logger, onFatal, onTrouble, closers } = context;
  const { commands, node, signers, outbox, feed } = options;
  const workflow = createWorkflow({
    network: config.network,
    policy: paymentPolicy(config),
    commands,
    work: asReads(options.work),
    node,
    signers,
    outbox: { head: () => asRead(outbox.head()) },
    feed,
    // While a lease is lost and not yet seen to be, two may believe that they lead: that costs work and no money, because every
    // decision is made on its stream.
    lead: (signal, work) =>
      withLease({ pool, ledger, role: 'workflow', onError: onTrouble }, signal, (lease) => work(lease.signal)),
    now: () => Date.now(),
    random: () => Math.random(),
    sleep: async (ms, signal) => {
      // An abort is what ends the pause early, no error.
      await sleep(ms, undefined, { signal }).catch(() => undefined);
    },
    events: countedEvents(measured, logger),
    onFatal,
  });
  observe(measured, workflow);
  workflow.start();
  closers.add('payouts', () => workflow.stop());
  return workflow;
}

/** Errors of the driver say that it may be tried again. */
function asReads(work: PayoutWork): PayoutWork {
  return {
    waitFor: (position, timeoutMs) => asRead(work.waitFor(position, timeoutMs)),
    tip: () => asRead(work.tip()),
    wallet: (walletId) => asRead(work.wallet(walletId)),
    walletsWithWaiting: (limit) => asRead(work.walletsWithWaiting(limit)),
    frozenAccounts: (accountIds) => asRead(work.frozenAccounts(accountIds)),
    waitingWithdrawals: (walletId, after, limit) => asRead(work.waitingWithdrawals(walletId, after, limit)),
    spendableCoins: (walletId, limit) => asRead(work.spendableCoins(walletId, limit)),
    coins: (outpoints) => asRead(work.coins(outpoints)),
    unconfirmedPayouts: (walletId, limit) => asRead(work.unconfirmedPayouts(walletId, limit)),
    openPayouts: (after, limit) => asRead(work.openPayouts(after, limit)),
    duePayouts: (after, limit) => asRead(work.duePayouts(after, limit)),
    payoutsToFinish: (limit) => asRead(work.payoutsToFinish(limit)),
    withdrawalsToFinish: (limit) => asRead(work.withdrawalsToFinish(limit)),
    payoutsOfCoins: (outpoints) => asRead(work.payoutsOfCoins(outpoints)),
    chainFacts: (payoutId) => asRead(work.chainFacts(payoutId)),
  };
}

function countedEvents(metrics: LedgerMetrics, logger: Logger): WorkflowEvents {
  const offers = metrics.counter('payout_offers_total', 'Answers of the node to payments that it was offered.', [
    'answer',
  ]);
  const signatures = metrics.counter('payout_signatures_total', 'What came of asking signers.', ['outcome']);
  const troubles = metrics.counter('payout_troubles_total', 'Steps that could not be made and are tried again.');
  return {
    offered: (answer) => {
      offers.inc({ answer });
    },
    signerAnswered: (outcome) => {
      signatures.inc({ outcome });
    },
    trouble: (what, error) => {
      troubles.inc();
      const isUsual = error instanceof RetryableError;
      logger[isUsual ? 'debug' : 'warn']({ err: error, what }, 'a payout waits for something that does not answer');
    },
  };
}

function observe(metrics: LedgerMetrics, workflow: Workflow): void {
  metrics.observe('payouts_leading', '1 where this process is the one that pays.', [], () => [
    { value: workflow.status().leading ? 1 : 0 },
  ]);
  metrics.observe('payouts_last_round_age_seconds', 'Seconds since all that was due was last looked at.', [], () => {
    const { lastRoundAtMs } = workflow.status();
    return lastRoundAtMs === undefined ? [] : [{ value: (Date.now() - lastRoundAtMs) / 1000 }];
  });
}
