/** Runs tasks by key, each key once at a time and a bounded number at once. Who comes while its key runs is run once more after it. */
export class TaskPool {
  readonly #running = new Map<string, Promise<void>>();
  readonly #again = new Set<string>();

  constructor(
    private readonly limit: number,
    /** After a task, whatever came of it; `again` where its key was asked for meanwhile. */
    private readonly onDone: (key: string, again: boolean) => void,
  ) {}

  get size(): number {
    return this.#running.size;
  }

  get hasRoom(): boolean {
    return this.#running.size < this.limit;
  }

  has(key: string): boolean {
    return this.#running.has(key);
  }

  /** False where there is no room. `task` handles its own errors. */
  run(key: string, task: () => Promise<void>): boolean {
    if (this.#running.has(key)) {
      this.#again.add(key);
      return true;
    }
    if (!this.hasRoom) return false;
    const running = task().finally(() => {
      this.#running.delete(key);
      this.onDone(key, this.#again.delete(key));
    });
    this.#running.set(key, running);
    return true;
  }

  /** When one of the tasks that run now is over. */
  async one(): Promise<void> {
    if (this.#running.size > 0) await Promise.race(this.#running.values());
  }

  /** When none runs any more. */
  async idle(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running.values());
  }
}
