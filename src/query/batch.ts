import { MAX_BATCH_KEYS } from './limits.js';

/** Looks up many keys at once; a key that is not in the answer is not there. */
export type LoadMany<K, V> = (keys: readonly K[]) => Promise<ReadonlyMap<K, V>>;

interface Batch<K, V> {
  load: LoadMany<K, V>;
  waiting: Map<K, { promise: Promise<V | undefined>; settle: (outcome: Promise<V | undefined>) => void }>;
}

/**
 * Gathers the look-ups that resolvers ask for one by one into one query each, and answers a key asked twice once. Lives as
 * long as one request (or one state of a subscription), so that nothing is kept from one moment to the next.
 *
 * Ours rather than the GraphQL server's, because subscriptions, which have no HTTP reply to hang them on, need them too.
 */
export class Batches {
  readonly #batches = new Map<string, Batch<never, never>>();
  readonly #answers = new Map<string, Map<unknown, Promise<unknown>>>();

  /** @param name one per query, moment and arguments */
  load<K, V>(name: string, key: K, load: LoadMany<K, V>): Promise<V | undefined> {
    let answers = this.#answers.get(name);
    if (answers === undefined) {
      answers = new Map();
      this.#answers.set(name, answers);
    }
    let answer = answers.get(key) as Promise<V | undefined> | undefined;
    if (answer === undefined) {
      answer = this.#enqueue(name, key, load);
      answers.set(key, answer);
    }
    return answer;
  }

  #enqueue<K, V>(name: string, key: K, load: LoadMany<K, V>): Promise<V | undefined> {
    let batch = this.#batches.get(name) as Batch<K, V> | undefined;
    if (batch === undefined || batch.waiting.size >= MAX_BATCH_KEYS) {
      batch = { load, waiting: new Map() };
      this.#batches.set(name, batch as unknown as Batch<never, never>);
      const mine = batch;
      // After all promise callbacks that are due now: sibling resolvers have asked by then.
      queueMicrotask(() => {
        process.nextTick(() => {
          if (this.#batches.get(name) === (mine as unknown as Batch<never, never>)) this.#batches.delete(name);
          run(mine);
        });
      });
    }
    let settle: (outcome: Promise<V | undefined>) => void = () => undefined;
    const promise = new Promise<V | undefined>((resolve) => {
      settle = resolve;
    });
    batch.waiting.set(key, { promise, settle });
    return promise;
  }
}

function run<K, V>({ load, waiting }: Batch<K, V>): void {
  const answers = load([...waiting.keys()]);
  for (const [key, { settle }] of waiting) settle(answers.then((values) => values.get(key)));
}
