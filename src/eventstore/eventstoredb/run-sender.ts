import type pg from 'pg';
import { invariant } from '../../platform/assert.js';
import { RetryableError } from '../../platform/errors.js';
import type { AppendResult } from '../event-store.js';
import { releaseClaims } from './claims.js';
import type { EventStoreConnection } from './connection.js';
import { MAX_RETRY_MS, type EventStoreDbLimits } from './esdb-limits.js';
import type { FenceCounts } from './fence-counts.js';
import type { EventToStore } from './messages.js';
import type { RelayedWaiter } from './relayed-waiter.js';
import { awaitOutcome, awaitRelayed } from './settle-relayed.js';
import { MAX_RUN_EVENTS, readStreamEnd, type SlotCalls, type StreamEnd } from './slots.js';
import { decodeMetadata } from './stored-metadata.js';
import { readStoredEvents, sendAppend, type StoredAppend } from './stream-calls.js';
import { toStoredStream } from './stream-names.js';
import { asError, eventsToStore, isWaiting, lastRevision, toExpected, type WaitingAppend } from './waiting-append.js';

export interface RunSenderOptions {
  pool: pg.Pool;
  connection: EventStoreConnection;
  ledger: string;
  owner: string;
  limits: Readonly<EventStoreDbLimits>;
  calls: SlotCalls;
  fences: FenceCounts;
  waiter: RelayedWaiter;
  settle: (item: WaitingAppend, result: AppendResult) => void;
  fail: (item: WaitingAppend, error: Error) => void;
  /** Its key may be worked on again. */
  free: (item: WaitingAppend) => void;
  schedule: () => void;
  /** Told of failures that it gets over by itself. */
  onError: (error: Error) => void;
}

export interface RunSender {
  /**
   * Sends appends of one stream that build on one another, whose keys are claimed, as one; finds out what became of them, and answers
   * them.
   *
   * @returns appends that are to be sent again, behind those of the run that stand
   */
  sendRun: (run: readonly WaitingAppend[]) => Promise<WaitingAppend[]>;
  /** Gives claims back whose attempts cannot come to be any more. */
  release: (items: readonly WaitingAppend[]) => Promise<void>;
}

export function createRunSender(options: RunSenderOptions): RunSender {
  const { pool, connection, ledger, owner, limits, calls, fences, waiter, onError } = options;
  const { settle, fail, free, schedule } = options;

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
      fences.remember(stream, end);
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
      fences.of(item.append.stream),
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

  return { sendRun, release };
}
