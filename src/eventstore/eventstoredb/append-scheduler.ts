import type pg from 'pg';
import { invariant } from '../../platform/assert.js';
import { RetryableError } from '../../platform/errors.js';
import type { AppendLimits } from '../append-limits.js';
import type { AppendResult } from '../event-store.js';
import { awaitCaughtUp } from './await-caught-up.js';
import { toRequests } from './claim-requests.js';
import { claimCommands, type Claim } from './claims.js';
import type { EventStoreConnection } from './connection.js';
import { MAX_RETRY_MS, type EventStoreDbLimits } from './esdb-limits.js';
import { FenceCounts } from './fence-counts.js';
import type { RelayedWaiter } from './relayed-waiter.js';
import { createRunSender } from './run-sender.js';
import { selectRuns } from './select-runs.js';
import { awaitOutcome } from './settle-relayed.js';
import { readStreamEnd, settleSlot, type SlotCalls, type StreamEnd } from './slots.js';
import { asError, isWaiting, toExpected, type WaitingAppend } from './waiting-append.js';

export interface SchedulerOptions {
  pool: pg.Pool;
  connection: EventStoreConnection;
  ledger: string;
  owner: string;
  limits: Readonly<EventStoreDbLimits>;
  batchLimits: Readonly<AppendLimits>;
  waiter: RelayedWaiter;
  randomUuid: () => string;
  /** Told of failures that it gets over by itself. */
  onError: (error: Error) => void;
}

export interface AppendScheduler {
  add(append: WaitingAppend): void;
}

/**
 * Brings appends to EventStoreDB: claims their keys (one statement for all that wait), sends what belongs together as one append, finds
 * out what became of it, and answers when the relay has put it into the outbox. Appends of one stream go one after the other.
 */
export function createAppendScheduler(options: SchedulerOptions): AppendScheduler {
  const { pool, connection, ledger, owner, limits, batchLimits, waiter, randomUuid, onError } = options;
  const calls: SlotCalls = { connection, ledger, timeoutMs: limits.callTimeoutMs, randomUuid };
  const queue: WaitingAppend[] = [];
  const busyStreams = new Set<string>();
  const busyKeys = new Set<string>();
  const fences = new FenceCounts();
  const endReads = new Map<string, Promise<StreamEnd>>();
  let isReady = false;
  let isGettingReady = false;
  let isClaiming = false;
  let isScheduled = false;
  let timer: NodeJS.Timeout | undefined;

  function schedule(): void {
    if (isScheduled) return;
    isScheduled = true;
    // At least to the end of this turn of the event loop, so that what arrives together goes together.
    setImmediate(() => {
      isScheduled = false;
      pump();
    });
  }

  function pump(): void {
    if (isClaiming) return;
    clearTimeout(timer);
    const nowMs = performance.now();
    giveUpLate(nowMs);
    if (!isReady) {
      if (queue.length > 0) void makeReady();
      wakeInTime(nowMs);
      return;
    }
    const { runs, rejections, doomed } = selectRuns(
      queue,
      { streams: busyStreams, keys: busyKeys },
      { maxAppends: batchLimits.maxBatchAppends, nowMs },
    );
    for (const item of doomed) void refuse(item);
    if (runs.length > 0 || rejections.length > 0) void claimAndSend(runs, rejections);
    wakeInTime(nowMs);
  }

  /** For what is looked at again later, whatever else waits, and for what is given up: perhaps nobody else comes. */
  function wakeInTime(nowMs: number): void {
    let next = Number.POSITIVE_INFINITY;
    for (const { notBeforeMs, untilMs } of queue) {
      next = Math.min(next, notBeforeMs > nowMs ? Math.min(notBeforeMs, untilMs) : untilMs);
    }
    if (next < Number.POSITIVE_INFINITY) timer = setTimeout(schedule, Math.max(1, next - nowMs));
  }

  /** Once, before anything is claimed. */
  async function makeReady(): Promise<void> {
    if (isGettingReady) return;
    isGettingReady = true;
    try {
      const { callTimeoutMs } = limits;
      await awaitCaughtUp({ pool, connection, ledger, callTimeoutMs, timeoutMs: MAX_RETRY_MS });
      isReady = true;
    } catch (error) {
      onError(asError(error));
      await new Promise((resolve) => setTimeout(resolve, limits.retryMs * 4));
    }
    isGettingReady = false;
    schedule();
  }

  function giveUpLate(nowMs: number): void {
    const late = queue.filter(({ untilMs }) => untilMs <= nowMs);
    if (late.length === 0) return;
    queue.splice(0, queue.length, ...queue.filter(({ untilMs }) => untilMs > nowMs));
    for (const item of late) {
      fail(
        item,
        new RetryableError('outcome unknown: the same request is under way elsewhere, or could not be sent in time'),
      );
    }
  }

  /** Back to the front, in their order: what builds on them stands behind. */
  function putBack(items: readonly WaitingAppend[], delayMs: number): void {
    const notBeforeMs = performance.now() + delayMs;
    // Not before a time that it was given already: whoever is at its key needs that time.
    for (const item of items) item.notBeforeMs = Math.max(item.notBeforeMs, notBeforeMs);
    queue.unshift(...items);
    schedule();
  }

  function settle(item: WaitingAppend, result: AppendResult): void {
    if (item.link) item.link.state = result.kind === 'appended' ? 'appended' : 'failed';
    item.settle(result);
    schedule();
  }

  function fail(item: WaitingAppend, error: Error): void {
    if (item.link && item.link.state === 'waiting') item.link.state = 'failed';
    item.settle(error);
    schedule();
  }

  /** One look for all that are refused together. */
  function readEndOnce(stream: string): Promise<StreamEnd> {
    const known = endReads.get(stream);
    if (known !== undefined) return known;
    const reading = readStreamEnd(calls, stream).finally(() => endReads.delete(stream));
    endReads.set(stream, reading);
    return reading;
  }

  /** Built on what did not happen: refused whatever the stream looks like. */
  async function refuse(item: WaitingAppend): Promise<void> {
    if (item.link) item.link.state = 'failed';
    try {
      const { revision } = await readEndOnce(item.append.stream);
      settle(item, { kind: 'wrong-expected-revision', actual: toExpected(revision) });
    } catch (error) {
      fail(item, asError(error));
    }
  }

  async function claimAndSend(runs: readonly WaitingAppend[][], rejections: readonly WaitingAppend[]): Promise<void> {
    isClaiming = true;
    for (const [first] of runs) if (first) busyStreams.add(first.append.stream);
    const items = [...runs.flat(), ...rejections];
    const keyed = items.filter(({ append }) => append.idempotency !== undefined);
    for (const item of items) {
      item.attempt = randomUuid();
      // Once: what is sent must be where the claim says.
      item.storedExpected = storedExpected(item);
    }
    const claims = new Map<WaitingAppend, Claim>();
    try {
      const requests = runs.flatMap((run) => toRequests(run)).concat(toRequests(rejections));
      invariant(requests.length === keyed.length, 'each key is claimed once');
      if (requests.length > 0) {
        for (const { key } of requests) busyKeys.add(key);
        const answers = await claimCommands(
          pool,
          { ledger, owner, ttlMs: limits.claimTtlMs, timeoutMs: limits.statementTimeoutMs },
          requests,
        );
        keyed.forEach((item, index) => {
          const claim = answers[index];
          invariant(claim !== undefined, 'every claim is answered');
          claims.set(item, claim);
        });
      }
    } catch (error) {
      for (const item of items) free(item);
      for (const [first] of runs) if (first) busyStreams.delete(first.append.stream);
      isClaiming = false;
      for (const item of items) fail(item, asError(error));
      return;
    }
    isClaiming = false;
    for (const item of rejections) void settleClaim(item, claims.get(item));
    for (const run of runs) void processRun(run, claims);
    schedule();
  }

  function storedExpected({ append }: WaitingAppend): bigint {
    return (append.expected ?? -1n) + fences.of(append.stream);
  }

  function free({ append }: WaitingAppend): void {
    if (append.idempotency !== undefined) busyKeys.delete(append.idempotency.key);
  }

  /** Of an append whose key was not simply claimed. */
  async function settleClaim(item: WaitingAppend, claim: Claim | undefined): Promise<void> {
    try {
      switch (claim?.kind) {
        case 'rejected':
          settle(item, {
            kind: 'appended',
            position: null,
            revision: null,
            recordedAt: claim.recordedAt,
            alreadyThere: false,
          });
          return;
        case 'used':
          settle(item, { kind: 'key-used', stored: claim.stored });
          return;
        case 'held':
          putBack([item], limits.retryMs * 4);
          return;
        case 'open':
          if (!(await isAnswered(item, claim))) putBack([item], 0);
          return;
        default:
          putBack([item], limits.retryMs);
      }
    } catch (error) {
      fail(item, asError(error));
    } finally {
      free(item);
      schedule();
    }
  }

  /** Looks into the earlier attempt of its key: that has come to be and is the answer, or never will. */
  async function isAnswered(item: WaitingAppend, claim: Extract<Claim, { kind: 'open' }>): Promise<boolean> {
    const key = item.append.idempotency?.key ?? '';
    if ((await settleSlot(calls, key, claim.slot)) === 'applied') {
      settle(item, await awaitOutcome(waiter, key));
      return true;
    }
    item.replaces = claim.attempt;
    // Its fence, if one was put, moves the stream's end.
    fences.forget(claim.slot.stream);
    return false;
  }

  /** The appends at the front whose keys are ours are sent; the first that is not, and what builds on it, waits or is settled. */
  async function processRun(run: readonly WaitingAppend[], claims: ReadonlyMap<WaitingAppend, Claim>): Promise<void> {
    const stop = run.findIndex((item) => item.append.idempotency !== undefined && claims.get(item)?.kind !== 'claimed');
    const sent = stop < 0 ? run : run.slice(0, stop);
    const behind = stop < 0 ? [] : run.slice(stop + 1);
    const stream = run[0]?.append.stream ?? '';
    for (const item of run) {
      const claim = claims.get(item);
      item.isRepeated ||= claim?.kind === 'claimed' && claim.repeated;
    }
    try {
      const unsent = behind.filter((item) => claims.get(item)?.kind === 'claimed');
      const odd = stop < 0 ? undefined : run[stop];
      // Nothing was sent for them; where they were claimed before, the earlier attempt is asked about again.
      if (unsent.length > 0) await release(unsent.filter(({ isRepeated }) => !isRepeated));
      const back: WaitingAppend[] = sent.length > 0 ? await sendRun(sent) : [];
      if (odd !== undefined) {
        const claim = claims.get(odd);
        await (claim?.kind === 'used' ? settleClaim(odd, claim) : settleOdd(odd, claim, back));
      }
      putBack([...back, ...behind], 0);
    } catch (error) {
      for (const item of run) {
        if (!isWaiting(item)) continue;
        free(item);
        fail(item, asError(error));
      }
    } finally {
      for (const item of behind) free(item);
      busyStreams.delete(stream);
      schedule();
    }
  }

  /** Keeps its place before those that build on it. */
  async function settleOdd(item: WaitingAppend, claim: Claim | undefined, back: WaitingAppend[]): Promise<void> {
    try {
      if (claim?.kind === 'open' && (await isAnswered(item, claim))) return;
      item.notBeforeMs = performance.now() + (claim?.kind === 'held' ? limits.retryMs * 4 : 0);
      back.push(item);
    } catch (error) {
      fail(item, asError(error));
    } finally {
      free(item);
    }
  }

  const { sendRun, release } = createRunSender({
    ...{ pool, connection, ledger, owner, limits, calls, fences, waiter, onError },
    ...{ settle, fail, free, schedule },
  });

  return {
    add(append) {
      queue.push(append);
      schedule();
    },
  };
}
