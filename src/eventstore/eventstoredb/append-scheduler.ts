import type pg from 'pg';
import { invariant } from '../../platform/assert.js';
import { PlatformError, RetryableError } from '../../platform/errors.js';
import type { AppendLimits } from '../append-limits.js';
import type { AppendResult, ExpectedRevision } from '../event-store.js';
import { awaitCaughtUp } from './await-caught-up.js';
import { claimCommands, releaseClaims, type Claim, type ClaimRequest } from './claims.js';
import type { EventStoreConnection } from './connection.js';
import { MAX_RETRY_MS, type EventStoreDbLimits } from './esdb-limits.js';
import type { EventToStore } from './messages.js';
import { awaitOutcome, awaitRelayed } from './settle-relayed.js';
import type { RelayedWaiter } from './relayed-waiter.js';
import { selectRuns } from './select-runs.js';
import { MAX_RUN_EVENTS, readStreamEnd, settleSlot, type SlotCalls, type StreamEnd } from './slots.js';
import { decodeMetadata } from './stored-metadata.js';
import { readStoredEvents, sendAppend, type StoredAppend } from './stream-calls.js';
import { toStoredStream } from './stream-names.js';
import { eventsToStore, lastRevision, type WaitingAppend } from './waiting-append.js';

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

/** Streams with fences whose number is remembered; another one costs one refused append. */
const MAX_REMEMBERED_FENCES = 10_000;

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
  /** How far EventStoreDB's revisions are above the ledger's. */
  const fences = new Map<string, bigint>();
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

  function toRequests(run: readonly WaitingAppend[]): ClaimRequest[] {
    const [first] = run;
    return run.flatMap(({ append, attempt, replaces }) => {
      if (append.idempotency === undefined || first === undefined) return [];
      const { key, requestHash, outcomeJson } = append.idempotency;
      const isRejection = append.expected === null;
      // All of a run are sent as one: where its first can come to be, there they can.
      const slot = isRejection ? undefined : { stream: append.stream, expected: first.storedExpected };
      return [{ key, requestHash, slot, attempt, replaces, outcomeJson: isRejection ? outcomeJson : undefined }];
    });
  }

  function storedExpected({ append }: WaitingAppend): bigint {
    return (append.expected ?? -1n) + (fences.get(append.stream) ?? 0n);
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
        case 'open': {
          const key = item.append.idempotency?.key ?? '';
          if ((await settleSlot(calls, key, claim.slot)) === 'applied') {
            settle(item, await awaitOutcome(waiter, key));
            return;
          }
          item.replaces = claim.attempt;
          // Its fence, if one was put, moves the stream's end.
          forgetFences(claim.slot.stream);
          putBack([item], 0);
          return;
        }
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

  function forgetFences(stream: string): void {
    fences.delete(stream);
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
    const key = item.append.idempotency?.key ?? '';
    try {
      if (claim?.kind === 'open') {
        if ((await settleSlot(calls, key, claim.slot)) === 'applied') {
          settle(item, await awaitOutcome(waiter, key));
          return;
        }
        item.replaces = claim.attempt;
        forgetFences(claim.slot.stream);
      }
      item.notBeforeMs = performance.now() + (claim?.kind === 'held' ? limits.retryMs * 4 : 0);
      back.push(item);
    } catch (error) {
      fail(item, asError(error));
    } finally {
      free(item);
    }
  }

  /** @returns appends that are to be sent again, behind those of the run that stand */
  async function sendRun(run: readonly WaitingAppend[]): Promise<WaitingAppend[]> {
    const [first] = run;
    invariant(first !== undefined, 'a run is of one append at least');
    const { stream } = first.append;
    const expected = first.storedExpected;
    const events = run.flatMap((item) => eventsToStore(item));
    let sent: { answer: StoredAppend; isUnknown: boolean };
    try {
      sent = await sendUntilKnown(first, stream, expected, events);
    } catch (error) {
      for (const item of run) {
        free(item);
        fail(item, asError(error));
      }
      return [];
    }
    if (sent.answer.kind === 'success') {
      for (const item of run) confirm(item);
      return [];
    }
    const { actual } = sent.answer;
    return afterRefusal(run, { stream, expected, events, isUnknown: sent.isUnknown, actual });
  }

  /** Sends the very same append until it is answered. */
  async function sendUntilKnown(
    first: WaitingAppend,
    stream: string,
    expected: bigint,
    events: readonly EventToStore[],
  ): Promise<{ answer: StoredAppend; isUnknown: boolean }> {
    let retryMs = limits.retryMs;
    let isUnknown = false;
    for (;;) {
      try {
        const answer = await sendAppend(connection, {
          stream: toStoredStream(ledger, stream),
          expected,
          events,
          timeoutMs: limits.callTimeoutMs,
        });
        return { answer, isUnknown };
      } catch (error) {
        if (!(error instanceof RetryableError)) throw error;
        onError(error);
        if (error.facts['happened'] !== false) isUnknown = true;
        if (performance.now() + retryMs >= first.untilMs) {
          throw new RetryableError('outcome unknown: the same request may be sent again', {}, { cause: error });
        }
        await new Promise((resolve) => setTimeout(resolve, retryMs));
        retryMs = Math.min(retryMs * 2, MAX_RETRY_MS);
      }
    }
  }

  /** The stream is not where the run expected it: perhaps because the run stands there already. */
  async function afterRefusal(
    run: readonly WaitingAppend[],
    sent: { stream: string; expected: bigint; events: readonly EventToStore[]; isUnknown: boolean; actual: bigint },
  ): Promise<WaitingAppend[]> {
    const { stream, expected } = sent;
    try {
      const count = Math.max(sent.events.length, run.some(({ isRepeated }) => isRepeated) ? MAX_RUN_EVENTS : 0);
      const there = await readStoredEvents(connection, {
        stream: toStoredStream(ledger, stream),
        from: expected + 1n,
        count,
        timeoutMs: limits.callTimeoutMs,
      });
      let matched = 0;
      const rest = [...run];
      for (const item of run) {
        const ids = item.append.events.map(({ id }) => id);
        if (!ids.every((id, index) => there[matched + index]?.id === id)) break;
        matched += ids.length;
        rest.shift();
        confirm(item);
      }
      if (rest.length === 0) return [];
      const end = await readStreamEnd(calls, stream);
      rememberFences(stream, end);
      return await refuseRest(rest, { ...sent, end, keys: there.map(({ metadata }) => decodeMetadata(metadata).key) });
    } catch (error) {
      for (const item of run) {
        // Those before it may have been answered.
        if (!isWaiting(item)) continue;
        free(item);
        fail(item, asError(error));
      }
      return [];
    }
  }

  async function refuseRest(
    rest: readonly WaitingAppend[],
    seen: { expected: bigint; end: StreamEnd; isUnknown: boolean; keys: readonly (string | undefined)[] },
  ): Promise<WaitingAppend[]> {
    const isPassed = seen.end.stored > seen.expected;
    if (!isPassed && seen.isUnknown) {
      throw new RetryableError('outcome unknown: the stream ends before the revision that was expected');
    }
    for (const item of rest) item.replaces = item.attempt;
    const [first] = rest;
    // The stream is where it was expected, but for fences, or behind those of the run that stand.
    const goOn = isPassed && first?.append.expected === seen.end.revision;
    const back: WaitingAppend[] = [];
    const dead: WaitingAppend[] = [];
    for (const item of rest) {
      free(item);
      const key = item.append.idempotency?.key;
      if (key !== undefined && item.isRepeated && seen.keys.includes(key)) {
        const result = await awaitOutcome(waiter, key);
        settle(item, result);
      } else if (goOn) {
        back.push(item);
      } else {
        dead.push(item);
      }
    }
    if (dead.length > 0 && isPassed) await release(dead);
    // Not passed and never sent twice: the answer was final. The claim is given back all the same.
    if (dead.length > 0 && !isPassed) await release(dead.filter(({ isRepeated }) => !isRepeated));
    for (const item of dead) settle(item, { kind: 'wrong-expected-revision', actual: toExpected(seen.end.revision) });
    return back;
  }

  function rememberFences(stream: string, { stored, revision }: StreamEnd): void {
    if (stored === revision) {
      fences.delete(stream);
      return;
    }
    const [oldest] = fences.keys();
    if (fences.size >= MAX_REMEMBERED_FENCES && oldest !== undefined) fences.delete(oldest);
    fences.set(stream, stored - revision);
  }

  async function release(items: readonly WaitingAppend[]): Promise<void> {
    const claims = items.flatMap(({ append, attempt }) =>
      append.idempotency === undefined ? [] : [{ key: append.idempotency.key, attempt }],
    );
    if (claims.length === 0) return;
    try {
      await releaseClaims(pool, { ledger, owner, timeoutMs: limits.statementTimeoutMs }, claims);
    } catch (error) {
      // Then whoever comes with the key again looks into its attempt.
      onError(asError(error));
    }
  }

  /** It stands in the stream: what builds on it may go, and it is answered when the relay has it. */
  function confirm(item: WaitingAppend): void {
    if (item.link) item.link.state = 'appended';
    void awaitRelayed(
      { waiter, connection, ledger, timeoutMs: limits.callTimeoutMs },
      item,
      lastRevision(item),
      fences.get(item.append.stream) ?? 0n,
    )
      .then(async ({ result, isOfAnotherKey }) => {
        if (isOfAnotherKey) await release([item]);
        return result;
      })
      .then(
        (result) => {
          item.settle(result);
        },
        (error: unknown) => {
          item.settle(asError(error));
        },
      )
      .finally(() => {
        free(item);
        schedule();
      });
  }

  return {
    add(append) {
      queue.push(append);
      schedule();
    },
  };
}

/** Of an append of events: neither stands it in its stream nor was it answered. */
function isWaiting({ link }: WaitingAppend): boolean {
  return link?.state === 'waiting';
}

function toExpected(revision: bigint): ExpectedRevision {
  return revision < 0n ? 'no-stream' : revision;
}

function asError(error: unknown): Error {
  if (error instanceof PlatformError || error instanceof Error) return error;
  return new Error(String(error));
}
