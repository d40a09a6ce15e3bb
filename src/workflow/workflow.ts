import type { PaymentNode } from '../bitcoin/payment/payment-node.js';
import type { PsbtSigner } from '../bitcoin/payment/signer.js';
import type { NetworkName } from '../bitcoin/network.js';
import type { Signer } from '../domain/events/wallet-events.js';
import type { Outbox, OutboxFeed } from '../outbox/outbox.js';
import { InvariantError } from '../platform/assert.js';
import { PlatformError } from '../platform/errors.js';
import { Agenda } from './agenda.js';
import { FeedWatch } from './watch-feed.js';
import { Gate } from './gate.js';
import type { PayoutWork, WorkflowCommands } from './ports.js';
import { runRound, type RoundParts, type RoundState } from './round.js';
import { TaskPool } from './task-pool.js';
import type { PaymentPolicy, WorkflowEvents } from './workflow-parts.js';

/** The longest time between two rounds. */
const TICK_MS = 1_000;
/** How often all open payouts are walked through, though nothing says that there is a reason. */
const SWEEP_MS = 300_000;
/** Payouts advanced at once: enough to fill the batches of the appender, few enough for the connections of the pool. */
const PAYOUTS_AT_ONCE = 16;
/** Questions to signers under way at once. */
const SIGNING_AT_ONCE = 8;
/** After a round that failed as a whole: database or read models away. */
const RETRY_MS = 500;

export interface WorkflowOptions {
  network: NetworkName;
  policy: PaymentPolicy;
  commands: WorkflowCommands;
  work: PayoutWork;
  node: PaymentNode;
  signers: Readonly<Record<Signer, PsbtSigner>>;
  outbox: Pick<Outbox, 'head'>;
  feed: Pick<OutboxFeed, 'follow'>;
  /** Runs `work` while this process is the one that leads the ledger's payouts; waits for it until the signal aborts. */
  lead: (signal: AbortSignal, work: (signal: AbortSignal) => Promise<void>) => Promise<void>;
  /** Milliseconds since 1970. */
  now: () => number;
  /** From 0 to below 1. */
  random: () => number;
  /** Ends early where the signal aborts. */
  sleep: (ms: number, signal: AbortSignal) => Promise<void>;
  events: WorkflowEvents;
  /** `PAYOUTS_AT_ONCE` where it is not given. With 1, what happens does not depend on who is answered first: for simulations. */
  payoutsAtOnce?: number;
  /** A broken invariant: the process must end before it writes anything more. */
  onFatal: (error: unknown) => void;
}

export interface WorkflowStatus {
  leading: boolean;
  /** When the last round was over, in milliseconds since 1970; undefined before the first. */
  lastRoundAtMs: number | undefined;
}

export interface Workflow {
  start(): void;
  /** Finishes the steps that are under way. */
  stop(): Promise<void>;
  /** One round and everything it set going; what is due later is not waited for. Answers the moment of the next, 0 for at once. For tests. */
  runOnce(): Promise<number>;
  status(): WorkflowStatus;
}

/**
 * Pays withdrawals. It reads what is open from the read models, tells the ledger what it decides, and does nothing outside (sign, send)
 * before its intent is an event; so it may die anywhere and another goes on. One leads, any number stand by.
 */
export function createWorkflow(options: WorkflowOptions): Workflow {
  const { outbox, feed, now, random, sleep, events } = options;
  let status: WorkflowStatus = { leading: false, lastRoundAtMs: undefined };
  let stopping = new AbortController();
  let running: Promise<void> = Promise.resolve();
  let fresh = makeParts(options, () => undefined);

  async function led(signal: AbortSignal): Promise<void> {
    let wakeUp = new AbortController();
    const wake = (): void => {
      wakeUp.abort();
    };
    // What a leader before has left in memory may be old.
    fresh = makeParts(options, wake);
    const { parts, state } = fresh;
    const watch = new FeedWatch(parts.agenda);
    const head = await outbox.head();
    parts.written.position = head;
    const following = new AbortController();
    const followed = (async () => {
      for await (const batch of feed.follow(head, AbortSignal.any([signal, following.signal]))) {
        const noticed = watch.notice(batch.events);
        const block = batch.events.findLast(({ type }) => type === 'BlockConnected' || type === 'BlockDisconnected');
        if (block !== undefined) parts.lastBlock.eventId = block.id;
        const last = batch.events.at(-1);
        if (last !== undefined && last.position > parts.written.position) parts.written.position = last.position;
        if (noticed.chain) state.due = { after: null };
        if (noticed.sweep) state.sweep = { after: null };
        if (noticed.wallets) state.walletsToDo = true;
        if (noticed.ends) state.endsToDo = true;
        wake();
      }
    })();
    let sweepAtMs = now() + SWEEP_MS;
    status = { ...status, leading: true };
    try {
      while (!signal.aborted) {
        wakeUp = new AbortController();
        if (now() >= sweepAtMs) {
          state.sweep = { after: null };
          state.endsToDo = true;
          sweepAtMs = now() + SWEEP_MS;
        }
        const nextMs = await roundGuarded(parts, state);
        status = { ...status, lastRoundAtMs: now() };
        const waitMs = Math.min(Math.max(nextMs - now(), 0), TICK_MS);
        if (waitMs > 0) await sleep(waitMs, AbortSignal.any([signal, wakeUp.signal]));
      }
    } finally {
      status = { ...status, leading: false };
      following.abort();
      await Promise.all([parts.pool.idle(), parts.signing.idle(), followed]);
    }
  }

  async function run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        await options.lead(signal, led);
      } catch (error) {
        if (error instanceof InvariantError || !(error instanceof PlatformError)) throw error;
        events.trouble('workflow', error);
      }
      await sleep(RETRY_MS, signal);
    }
  }

  return {
    start: () => {
      stopping = new AbortController();
      running = run(stopping.signal).catch(options.onFatal);
    },
    stop: async () => {
      stopping.abort();
      await running;
    },
    runOnce: async () => {
      const { parts, state } = fresh;
      parts.written.position = await outbox.head();
      Object.assign(state, { ...newState(), walletsNotBefore: state.walletsNotBefore, failures: state.failures });
      const nextMs = await runRound(parts, state);
      await parts.pool.idle();
      await parts.signing.idle();
      return parts.agenda.hasWoken || state.due !== undefined || state.sweep !== undefined ? 0 : nextMs;
    },
    status: () => status,
  };

  /** A round that failed as a whole is tried again: the database or the read models are away. */
  async function roundGuarded(parts: RoundParts, state: RoundState): Promise<number> {
    try {
      return await runRound(parts, state);
    } catch (error) {
      if (error instanceof InvariantError || !(error instanceof PlatformError)) throw error;
      events.trouble('round', error);
      return now() + Math.round(RETRY_MS * (1 + random()));
    }
  }
}

function newState(): RoundState {
  return {
    due: { after: null },
    sweep: { after: null },
    endsToDo: true,
    walletsToDo: true,
    walletsNotBefore: new Map(),
    walletsAfter: new Map(),
    failures: new Map(),
  };
}

function makeParts(options: WorkflowOptions, wake: () => void): { parts: RoundParts; state: RoundState } {
  const { now, random } = options;
  const gate = (firstMs: number, maxMs: number): Gate => new Gate({ firstMs, maxMs, now, random });
  const agenda = new Agenda();
  const wakePayout = (payoutId: string): void => {
    agenda.wake(payoutId);
    wake();
  };
  const parts: RoundParts = {
    ...options,
    agenda,
    written: { position: 0n },
    lastBlock: { eventId: null },
    nodeGate: gate(500, 30_000),
    signerGates: { none: gate(1_000, 60_000), http: gate(1_000, 60_000), local: gate(1_000, 60_000) },
    pool: new TaskPool(options.payoutsAtOnce ?? PAYOUTS_AT_ONCE, (payoutId, again) => {
      if (again) wakePayout(payoutId);
    }),
    signing: new TaskPool(SIGNING_AT_ONCE, wakePayout),
  };
  return { parts, state: newState() };
}
