import type { RecordedEvent } from '../eventstore/event-store.js';
import { InvariantError } from '../platform/assert.js';
import { PlatformError, RetryableError } from '../platform/errors.js';
import { ProblemError } from '../platform/http/problem.js';
import { Gatherer } from './gatherer.js';
import type { CommandLog, CommandReads, ScriptOwner } from './ports.js';

/** As long as a read with `Ledger-Min-Position` waits. */
export const HEAD_WAIT_MS = 2_000;
/** Keys per query: beyond some hundred a query takes longer without serving more. */
const MAX_BATCH = 500;
/** One question, whoever asks: a query answers all who wait. */
const MAX_RUNNING_COMMANDS = 10_000;
/** Queries of one kind at once: one runs, the next gathers, and a slow one does not hold up all. */
const MAX_RUNNING = 2;

/** The read side as handlers use it: single questions, gathered into queries. */
export class ReadsAtHead {
  readonly #credits: Gatherer<string, bigint>;
  readonly #events: Gatherer<string, true>;
  readonly #wallets: Gatherer<number, string[]>;

  constructor(
    private readonly models: CommandReads,
    private readonly log: CommandLog,
  ) {
    this.#credits = new Gatherer({
      load: (accountIds) => models.credits(accountIds),
      maxBatch: MAX_BATCH,
      maxRunning: MAX_RUNNING,
    });
    this.#events = new Gatherer({
      load: async (ids) => new Map([...(await log.existingEvents(ids))].map((id) => [id, true])),
      maxBatch: MAX_BATCH,
      maxRunning: MAX_RUNNING,
    });
    this.#wallets = new Gatherer({
      load: async (limits) =>
        new Map(
          await Promise.all(limits.map(async (limit) => [limit, await models.walletsWithDescriptor(limit)] as const)),
        ),
      maxBatch: MAX_RUNNING_COMMANDS,
      maxRunning: MAX_RUNNING,
    });
  }

  async walletsWithDescriptor(limit: number): Promise<string[]> {
    return (await asRead(this.#wallets.get(limit))) ?? [];
  }

  /** From the log itself: never behind. */
  findEvent(id: string): Promise<RecordedEvent | undefined> {
    return asRead(this.log.findEvent(id));
  }

  /** From the log itself: never behind. */
  findData(ids: readonly string[]): Promise<Map<string, Pick<RecordedEvent, 'type' | 'data'>>> {
    return asRead(this.log.findData(ids));
  }

  async creditsSats(accountId: string): Promise<bigint> {
    return (await asRead(this.#credits.get(accountId))) ?? 0n;
  }

  async eventExists(id: string): Promise<boolean> {
    return (await asRead(this.#events.get(id))) ?? false;
  }

  scriptOwners(scripts: readonly string[]): Promise<Map<string, ScriptOwner>> {
    return asRead(this.models.scriptOwners(scripts));
  }

  walletWithDescriptor(descriptorKeys: readonly string[]): Promise<string | undefined> {
    return asRead(this.models.walletWithDescriptor(descriptorKeys));
  }

  /**
   * Waits until the read models know everything that was in the ledger when this was called.
   *
   * @throws ProblemError `ledger-behind` when they cannot reach it in time: there is no answer then, not even "no"
   */
  async catchUp(): Promise<void> {
    const head = await asRead(this.log.head());
    const reached = await asRead(this.models.waitFor(head, HEAD_WAIT_MS));
    if (reached >= head) return;
    throw new ProblemError('ledger-behind', `The read models are at position ${reached}, the ledger is at ${head}.`, {
      extensions: { position: reached.toString() },
    });
  }
}

/** A read that fails has changed nothing, so it may be tried again: the driver's errors do not say that themselves. */
async function asRead<T>(reading: Promise<T>): Promise<T> {
  try {
    return await reading;
  } catch (error) {
    if (error instanceof InvariantError || error instanceof PlatformError) throw error;
    throw new RetryableError('the read models could not be read', {}, { cause: error });
  }
}
