import type { EventStore } from '../../eventstore/event-store.js';
import type { Outbox } from '../../outbox/outbox.js';
import { invariant } from '../../platform/assert.js';
import { FatalError, RetryableError } from '../../platform/errors.js';
import { SourceError, type BlockSource } from '../block-source.js';
import type { NetworkName } from '../network.js';
import { abortableSource } from './abortable-source.js';
import { AnotherWriterError, createChangeWriter, DEFAULT_WRITE_LIMITS } from './change-writer.js';
import type { CommittedChange, WriteLimits } from './change-writer.js';
import type { ConnectedChain } from './chain-index.js';
import { executePlan, type InvalidBlock } from './execute-plan.js';
import { DEFAULT_FETCH_LIMITS, type FetchLimits } from './fetch-ahead.js';
import { BelowStartError, InvalidBlockError, troubleOf } from './follower-errors.js';
import type { FollowerStatus } from './follower-status.js';
import { createLedgerView } from './ledger-view.js';
import { openChain, type ChainSettings } from './open-chain.js';
import { createPauses, DEFAULT_PAUSES, type PauseLimits } from './pauses.js';
import { DEFAULT_PLAN_LIMITS, planChange, type PlanLimits } from './plan-change.js';
import { createSpeedometer } from './speedometer.js';

export interface FollowerDeps extends ChainSettings {
  ledger: string;
  network: NetworkName;
  store: EventStore;
  outbox: Outbox;
  source: BlockSource;
  /** Reorgs from this depth on raise an alarm; they are followed all the same. */
  finalityDepth: number;
  /** Milliseconds since 1970. */
  now: () => number;
  /** From 0 to 1, for the jitter of pauses. */
  random: () => number;
  /**
   * Whether this follower is the one that writes. Others read what it writes, so that any of them can go on at once. Where it is
   * not given, nobody else follows.
   */
  hasTurn?: () => boolean;
  /** A broken invariant or another bug: the process must end. The follower has stopped. */
  onFatal: (error: unknown) => void;
  /** The source gave a block that is not valid; a source that can give another one may want to know. */
  onInvalidBlock?: (block: InvalidBlock) => Promise<void> | void;
  limits?: Partial<WriteLimits & FetchLimits & PlanLimits & PauseLimits>;
}

/** Plans that another follower spoiled, before a pause is made. */
const MAX_SPOILED_PLANS = 20;

export interface Follower {
  /**
   * Reads the log, opens the chain where it is new, and begins to follow. Resolves when the log is read.
   *
   * @throws FatalError for a configuration that does not fit the ledger; RetryableError when the database is away
   */
  start(): Promise<void>;
  /** Ends after the append in flight. */
  stop(): Promise<void>;
  status(): FollowerStatus;
  onStatus(listener: (status: FollowerStatus) => void): () => void;
  /** Calls back after each append, with what it changed. Returns the way to stop it. */
  onCommitted(listener: (change: CommittedChange) => void): () => void;
  /**
   * Follows the source's tip as it is now, at once.
   *
   * @throws SourceError, RetryableError or FatalError: what kept it from doing so
   */
  syncNow(): Promise<void>;
  /** Our chain; undefined before the first start has opened it. */
  chain(): ConnectedChain | undefined;
}

interface Waiter {
  resolve: () => void;
  reject: (error: unknown) => void;
}

/** Follows a source of blocks and writes what its chain means for the ledger. */
export function createFollower(deps: FollowerDeps): Follower {
  const { ledger, network, outbox, hasTurn = () => true } = deps;
  const store = writeInTurn(deps.store, hasTurn);
  const pauseLimits = { ...DEFAULT_PAUSES, ...deps.limits };
  const planLimits = { ...DEFAULT_PLAN_LIMITS, ...deps.limits };
  const fetchLimits = { ...DEFAULT_FETCH_LIMITS, ...deps.limits };
  const view = createLedgerView(network, store, outbox);
  const stopping = new AbortController();
  const source = abortableSource(deps.source, stopping.signal);
  const listeners = new Set<(status: FollowerStatus) => void>();
  const committedListeners = new Set<(change: CommittedChange) => void>();
  const speed = createSpeedometer(deps.now);
  const waiters: Waiter[] = [];
  const { signal } = stopping;
  const pauses = createPauses(pauseLimits, { random: deps.random, signal, hasWaiters: () => waiters.length > 0 });
  let running: Promise<void> | undefined;
  let ended: { error: Error | undefined } | undefined;
  let sourceCheckedMs = -Infinity;
  let status: FollowerStatus = {
    state: 'starting',
    detail: undefined,
    sourceTip: undefined,
    tip: undefined,
    position: 0n,
    blocksPerSecond: 0,
    tipTime: undefined,
    lastConnectedAtMs: undefined,
    deepestReorg: 0,
    finalityBroken: false,
  };

  const report = (news: Partial<FollowerStatus>): void => {
    const tip = view.chain?.tip;
    const { position, tipTime } = view;
    status = { ...status, tip, position, tipTime, blocksPerSecond: speed.perSecond(), ...news };
    for (const listener of listeners) listener(status);
  };
  const onCommitted = (change: CommittedChange): void => {
    speed.count(change.connected.length);
    report(change.connected.length > 0 ? { lastConnectedAtMs: deps.now() } : {});
    for (const listener of committedListeners) listener(change);
  };
  const writer = createChangeWriter({
    ledger,
    view,
    store,
    limits: { ...DEFAULT_WRITE_LIMITS, ...deps.limits },
    onCommitted,
  });

  /** One look at the source, and what follows from it. Returns true when there may be more to do at once. */
  async function pass(): Promise<boolean> {
    await view.catchUp();
    if (deps.now() - sourceCheckedMs >= pauseLimits.recheckMs) {
      await source.check();
      sourceCheckedMs = deps.now();
    }
    await openChain({ ledger, view, store, source }, deps);
    invariant(view.chain, 'the chain is open');
    const plan = await planChange(view.chain, source, network, planLimits);
    const { sourceTip } = plan;
    if (plan.kind === 'synced' || plan.kind === 'tie' || plan.kind === 'change') {
      const staysUpTo = plan.kind === 'change' ? plan.forkHeight : view.chain.tip.height;
      if (view.doubtful.some(({ height }) => height <= staysUpTo)) {
        await settleDoubts();
        return true;
      }
    }
    switch (plan.kind) {
      case 'synced':
      case 'tie':
        report({ state: 'synced', detail: undefined, sourceTip });
        return false;
      case 'source-behind':
        report({ state: 'node-behind', detail: `The source is behind: ${plan.detail}.`, sourceTip });
        return false;
      case 'below-start':
        report({ sourceTip });
        throw new BelowStartError(`The source is on another chain: ${plan.detail}. Nothing is written.`);
      case 'change': {
        const depth = view.chain.tip.height - plan.forkHeight;
        report({
          state: 'syncing',
          detail: undefined,
          sourceTip,
          deepestReorg: Math.max(status.deepestReorg, depth),
          finalityBroken: status.finalityBroken || depth >= deps.finalityDepth,
        });
        const invalid = await executePlan(plan, { view, writer, outbox, source, fetchLimits, signal });
        if (invalid) {
          await deps.onInvalidBlock?.(invalid);
          throw new InvalidBlockError(invalid);
        }
        return true;
      }
    }
  }

  /** A process died before it could look again into what it had written. Nothing is written on top before that is done. */
  async function settleDoubts(): Promise<void> {
    try {
      await writer.settleDoubts(async (hash) => {
        try {
          return (await source.blocks([hash]))[0];
        } catch (error) {
          if (!(error instanceof SourceError) || error.trouble !== 'block-missing') throw error;
          const why = 'a script came to be watched while it was written';
          const detail = `Block ${hash} must be read again, because ${why}. The source does not have it.`;
          throw new SourceError('block-missing', detail, { hash }, { cause: error });
        }
      });
    } finally {
      writer.discard();
    }
  }

  async function run(): Promise<void> {
    const stopWaking = source.onWake(() => {
      pauses.wake();
    });
    const served: Waiter[] = [];
    let failures = 0;
    let spoiled = 0;
    try {
      while (!stopping.signal.aborted) {
        pauses.begin();
        served.push(...waiters.splice(0));
        try {
          if (!hasTurn()) {
            await standBy(served.splice(0));
            continue;
          }
          const isMore = await pass();
          failures = 0;
          spoiled = 0;
          if (isMore) continue;
          for (const { resolve } of served.splice(0)) resolve();
          await pauses.pause(pauseLimits.pollMs);
        } catch (error) {
          if (error instanceof AnotherWriterError) {
            // No trouble: what the other one wrote is what we were about to. Who waits here goes on waiting.
            if (++spoiled % MAX_SPOILED_PLANS === 0) await pauses.pause(pauses.afterFailures(1));
            continue;
          }
          if (stopping.signal.aborted && error instanceof RetryableError) break;
          const [state, detail] = troubleOf(error);
          report({ state, detail });
          for (const { reject } of served.splice(0)) reject(error);
          if (state === 'halted' && !(error instanceof BelowStartError)) throw error;
          sourceCheckedMs = -Infinity;
          failures += 1;
          await pauses.pause(pauses.afterFailures(failures));
        }
      }
    } finally {
      stopWaking();
      for (const { reject } of served) reject(new RetryableError('the follower was stopped'));
    }
  }

  /** Reads what the one that follows has written, and says so to who waits here. */
  async function standBy(served: readonly Waiter[]): Promise<void> {
    for (const { reject } of served) reject(new RetryableError('another process follows the chain'));
    await view.catchUp();
    report({ state: 'standby', detail: 'Another process follows the chain.' });
    await pauses.pause(pauseLimits.standbyMs);
  }

  function end(thrown?: unknown): void {
    const error =
      thrown === undefined || thrown instanceof Error ? thrown : new Error('the follower failed', { cause: thrown });
    ended = { error };
    if (error === undefined) report({ state: 'stopped', detail: undefined });
    for (const { reject } of waiters.splice(0)) reject(error ?? new RetryableError('the follower was stopped'));
    // What a person must mend is in the status; a bug must end the process.
    if (error !== undefined && !(error instanceof FatalError)) deps.onFatal(error);
  }

  return {
    async start() {
      invariant(running === undefined, 'a follower is started once');
      await view.catchUp();
      if (view.chain && hasTurn()) await openChain({ ledger, view, store, source }, deps);
      report({});
      running = run().then(
        () => end(),
        (error: unknown) => end(error),
      );
    },
    async stop() {
      stopping.abort();
      pauses.wake();
      await running;
    },
    status: () => status,
    onStatus(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    onCommitted(listener) {
      committedListeners.add(listener);
      return () => committedListeners.delete(listener);
    },
    syncNow: () =>
      new Promise((resolve, reject) => {
        if (running === undefined || ended || stopping.signal.aborted) {
          reject(ended?.error ?? new RetryableError('the follower is not running'));
          return;
        }
        waiters.push({ resolve, reject });
        pauses.wake();
      }),
    chain: () => view.chain,
  };
}

/** Ends what was planned when the turn is over: the one that has it now plans anew. Revisions guard what is under way. */
function writeInTurn(store: EventStore, hasTurn: () => boolean): EventStore {
  return {
    ...store,
    append: (request) =>
      hasTurn()
        ? store.append(request)
        : Promise.reject(new AnotherWriterError('another process follows the chain now')),
  };
}
