import type { AppendRequest, AppendResult, EventStore } from '../../src/eventstore/event-store.js';
import type { Evidence } from './evidence.js';

/** The process was killed: nothing that it began goes on. Not an error that anything of ours knows, so that nothing catches it. */
export class KilledError extends Error {
  override readonly name = 'KilledError';
}

/** When a process dies: at its n-th append, or its n-th of one type, just before or just after the commit. */
export interface Death {
  type: string | undefined;
  nth: number;
  moment: 'before' | 'after';
}

/** One life of the process. */
export class Life {
  isDead = false;
  #seen = 0;

  death: Death | undefined;

  /** From now on it waits for this death, and for no other. */
  arm(death: Death | undefined): void {
    this.death = death;
    this.#seen = 0;
  }

  assertAlive(): void {
    if (this.isDead) throw new KilledError('killed');
  }

  /** Counts an append. Answers when the process dies of it. */
  meets(types: readonly string[]): Death['moment'] | undefined {
    const { death } = this;
    if (death === undefined || (death.type !== undefined && !types.includes(death.type))) return undefined;
    this.#seen += 1;
    return this.#seen === death.nth ? death.moment : undefined;
  }

  die(): never {
    this.isDead = true;
    throw new KilledError('killed');
  }
}

/** The event store of a process that may die between any two writes. */
export function mortalStore(store: EventStore, life: Life, evidence: Evidence): EventStore {
  return {
    append: async (request) => {
      life.assertAlive();
      const moment = life.meets(request.events.map(({ type }) => type));
      if (moment === 'before') life.die();
      const result = await store.append(request);
      witness(request, result, evidence);
      if (moment === 'after') life.die();
      life.assertAlive();
      return result;
    },
    readStream: async (...question) => {
      life.assertAlive();
      return await store.readStream(...question);
    },
    findOutcome: async (key) => {
      life.assertAlive();
      return await store.findOutcome(key);
    },
    close: () => store.close(),
  };
}

/** What is durable now. */
function witness({ events }: AppendRequest, { kind }: AppendResult, { recordedSigned }: Evidence): void {
  if (kind !== 'appended') return;
  for (const { type, data } of events) {
    if (type === 'CandidateSigned') recordedSigned.add((data as { txid: string }).txid);
  }
}
