import { hash } from 'node:crypto';
import { boundedCache } from '../platform/bounded-cache.js';
import { z } from 'zod';
import type { DomainEvent } from '../domain/events/event-types.js';
import { newEvents } from '../domain/new-event.js';
import type { RejectionCode } from '../domain/rejection.js';
import type { AppendRequest, EventStore, NewEvent, StoredOutcome } from '../eventstore/event-store.js';
import { invariant } from '../platform/assert.js';
import { BusyError, RetryableError } from '../platform/errors.js';
import { canonicalJson } from './canonical-json.js';
import { metadataOf, type CommandContext } from './command-context.js';
import type { DecideResult } from './stream-decider.js';

/** Outcomes kept in memory, so that a client that sends again at once does not disturb the stream. The store keeps all. */
const MAX_RECENT_OUTCOMES = 20_000;
/** Commands under way at once; beyond, the answer is 503. Each holds some kilobytes. */
const MAX_RUNNING = 5_000;
const MAX_STORE_FAILURES = 4;
const RETRY_DELAY_MS = 25;

type Body = Readonly<Record<string, unknown>>;

/** What the client is told. The position is that of the command's last event. */
export type CommandOutcome =
  | { kind: 'done'; status: number; body: Body; position: bigint; replayed: boolean }
  | { kind: 'rejected'; code: RejectionCode; detail: string; replayed: boolean }
  | { kind: 'key-in-use' }
  | { kind: 'key-reused' };

/** As it is kept with the idempotency key. `position` where nothing was to be written: what is so, is so there. */
const storedSchema = z.union([
  z.strictObject({
    status: z.number().int(),
    body: z.record(z.string(), z.unknown()),
    position: z.string().optional(),
  }),
  z.strictObject({ rejected: z.string(), detail: z.string() }),
]);

/** What a command is asked to do, with its name: two commands with the same input are not the same request. */
export interface CommandRequest {
  name: string;
  input: Body;
  /** Of the answer where it is done. */
  status: 201 | 202;
}

export interface CommandScope {
  /** Events ready for the store and the record of the outcome: for `DecideRequest.toAppend`. */
  toAppend(
    events: readonly DomainEvent[],
    body: Body,
  ): { events: readonly NewEvent[]; idempotency: AppendRequest['idempotency'] };
}

export interface CommandRunnerOptions {
  store: EventStore;
  ledger: string;
  sleep: (ms: number) => Promise<void>;
  /** Position of the ledger's last event. */
  head: () => Promise<bigint>;
}

interface Remembered {
  requestHash: string;
  outcome: Extract<CommandOutcome, { kind: 'done' | 'rejected' }>;
}

/**
 * Runs commands so that one key has one outcome, for good. There is no look-up before: the append itself keeps the key with
 * its outcome or says that it was used, so there is no moment in which two could slip through.
 */
export class CommandRunner {
  readonly #running = new Set<string>();
  readonly #recent = boundedCache<string, Remembered>(MAX_RECENT_OUTCOMES);

  constructor(private readonly options: CommandRunnerOptions) {}

  /** @throws BusyError, RetryableError as the store does; the same key may be sent again */
  async run(
    context: CommandContext,
    request: CommandRequest,
    stream: string,
    decide: (scope: CommandScope) => Promise<DecideResult<Body>>,
  ): Promise<CommandOutcome> {
    const key = context.idempotencyKey;
    const requestHash = hash('sha256', canonicalJson([request.name, request.input]), 'hex');
    const recent = this.#recent.get(key);
    if (recent !== undefined) return replay(recent, requestHash);
    if (this.#running.has(key)) return { kind: 'key-in-use' };
    if (this.#running.size >= MAX_RUNNING) throw new BusyError('too many commands at once', 1);
    this.#running.add(key);
    try {
      const outcome = await this.#decideAndKeep(context, requestHash, stream, request.status, decide);
      if (outcome.kind === 'done' || outcome.kind === 'rejected') this.#recent.set(key, { requestHash, outcome });
      return outcome;
    } finally {
      this.#running.delete(key);
    }
  }

  async #decideAndKeep(
    context: CommandContext,
    requestHash: string,
    stream: string,
    status: number,
    decide: (scope: CommandScope) => Promise<DecideResult<Body>>,
  ): Promise<CommandOutcome> {
    const key = context.idempotencyKey;
    const { ledger } = this.options;
    const result = await decide({
      toAppend: (events, body) => ({
        events: newEvents(events, { ledger, key, metadata: metadataOf(context) }),
        idempotency: { key, requestHash, outcome: { status, body } },
      }),
    });
    switch (result.kind) {
      case 'appended':
        return { kind: 'done', status, body: result.detail, position: result.position, replayed: false };
      case 'unchanged': {
        const position = await this.options.head();
        const outcome = { status, body: result.detail, position: position.toString() };
        const used = await this.#keep(stream, { key, requestHash, outcome });
        if (used !== undefined) return fromStored(used.stored, requestHash, used.replayed);
        return { kind: 'done', status, body: result.detail, position, replayed: false };
      }
      case 'key-used':
        return fromStored(result.stored, requestHash, !result.uncertain);
      case 'rejected': {
        // A rejection is frozen as well: a client that sends again must not be told something else.
        const { rejected, detail } = result.rejection;
        const used = await this.#keep(stream, { key, requestHash, outcome: { rejected, detail } });
        if (used !== undefined) return fromStored(used.stored, requestHash, used.replayed && !result.uncertain);
        return { kind: 'rejected', code: rejected, detail, replayed: false };
      }
    }
  }

  /** Keeps an outcome without events. Answers what is kept with the key already, if something is. */
  async #keep(
    stream: string,
    idempotency: NonNullable<AppendRequest['idempotency']>,
  ): Promise<{ stored: StoredOutcome; replayed: boolean } | undefined> {
    const append = { stream, expectedRevision: 'no-stream' as const, events: [], idempotency };
    for (let failures = 0; ;) {
      try {
        const result = await this.options.store.append(append);
        // After a failure it may be what this very call has kept.
        if (result.kind === 'key-used') return { stored: result.stored, replayed: failures === 0 };
        invariant(result.kind === 'appended', 'an outcome without events has no revision to be wrong about');
        return undefined;
      } catch (error) {
        failures += 1;
        const mayHelp = error instanceof RetryableError && !(error instanceof BusyError);
        if (!mayHelp || failures >= MAX_STORE_FAILURES) throw error;
        await this.options.sleep(RETRY_DELAY_MS * 2 ** failures);
      }
    }
  }
}

function replay(recent: Remembered, requestHash: string): CommandOutcome {
  if (recent.requestHash !== requestHash) return { kind: 'key-reused' };
  return { ...recent.outcome, replayed: true };
}

function fromStored(stored: StoredOutcome, requestHash: string, replayed: boolean): CommandOutcome {
  if (stored.requestHash !== requestHash) return { kind: 'key-reused' };
  const outcome = storedSchema.parse(stored.outcome);
  if ('rejected' in outcome) {
    // Written by this file from a value of that type.
    return { kind: 'rejected', code: outcome.rejected as RejectionCode, detail: outcome.detail, replayed };
  }
  const position = outcome.position === undefined ? stored.position : BigInt(outcome.position);
  invariant(position !== null, 'an outcome that is no rejection has a position');
  return { kind: 'done', status: outcome.status, body: outcome.body, position, replayed };
}
