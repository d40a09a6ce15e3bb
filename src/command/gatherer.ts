export interface GathererOptions<K, V> {
  /** Looks up many keys at once; keys without an entry in the map get `undefined`. */
  load: (keys: readonly K[]) => Promise<ReadonlyMap<K, V>>;
  /** Keys per look-up at most. */
  maxBatch: number;
  /** Look-ups at the same time at most: while they run, keys gather for the next. */
  maxRunning: number;
}

interface Waiting<K, V> {
  key: K;
  resolve: (value: V | undefined) => void;
  reject: (error: unknown) => void;
}

/**
 * Gathers single look-ups that come at about the same time into one query, as the appender does with appends: under load a
 * query serves hundreds of commands, and one alone waits for nobody. Nothing is cached: an answer was read after its question.
 */
export class Gatherer<K, V> {
  #waiting: Waiting<K, V>[] = [];
  #running = 0;
  #scheduled = false;

  constructor(private readonly options: GathererOptions<K, V>) {}

  get(key: K): Promise<V | undefined> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ key, resolve, reject });
      this.#schedule();
    });
  }

  #schedule(): void {
    if (this.#scheduled || this.#running >= this.options.maxRunning) return;
    this.#scheduled = true;
    // After everything that is ready to run now has asked.
    setImmediate(() => {
      this.#scheduled = false;
      void this.#run();
    });
  }

  async #run(): Promise<void> {
    const batch = this.#waiting.splice(0, this.options.maxBatch);
    if (batch.length === 0) return;
    this.#running += 1;
    if (this.#waiting.length > 0) this.#schedule();
    try {
      const values = await this.options.load([...new Set(batch.map(({ key }) => key))]);
      for (const { key, resolve } of batch) resolve(values.get(key));
    } catch (error) {
      for (const { reject } of batch) reject(error);
    } finally {
      this.#running -= 1;
      if (this.#waiting.length > 0) this.#schedule();
    }
  }
}
