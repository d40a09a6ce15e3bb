import type { Dice } from './dice.js';

/** Rounds of the event loop after which everybody who is about to ask has asked. */
const QUIET_ROUNDS = 3;

interface Waiting {
  key: string;
  run: () => Promise<void>;
}

/**
 * Lets one thing happen at a time, chosen by dice among all that wait: so that what falls at the same moment falls in an order that the
 * seed decides. What has the same key happens in the order in which it was asked for.
 */
export class Turns {
  readonly #waiting: Waiting[] = [];
  #running: Promise<void> | undefined;

  /** @param pause what is waited for before each: nothing that happens may depend on how long it takes */
  constructor(
    private readonly dice: () => Dice,
    private readonly pause: () => Promise<void> = () => Promise.resolve(),
  ) {}

  take<T>(key: string, task: () => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ key, run: () => task().then(resolve, reject) });
      this.#running ??= this.#run();
    });
  }

  /** When nobody waits any more. Who was refused one of two answers goes on, and the other question is still open. */
  async idle(): Promise<void> {
    await this.#running;
  }

  async #run(): Promise<void> {
    for (;;) {
      for (let round = 0; round < QUIET_ROUNDS; round++) await new Promise((resolve) => setImmediate(resolve));
      const first = new Map(this.#waiting.map((one, at) => [one.key, at] as const).reverse());
      if (first.size === 0) break;
      const [one] = this.#waiting.splice(this.dice().pick([...first.values()].sort((a, b) => a - b)), 1);
      await this.pause();
      await one?.run();
    }
    this.#running = undefined;
  }
}

/**
 * The same object, whose answers all come in their turn.
 *
 * @param keyOf what must keep its order, of a method and its arguments; undefined: nothing
 */
export function inTurn<T extends object>(
  turns: Turns,
  object: T,
  before: () => Promise<unknown> = () => Promise.resolve(),
  keyOf: (method: string, args: readonly unknown[]) => string | undefined = () => undefined,
): T {
  let asked = 0;
  return new Proxy(object, {
    get: (target, name) => {
      const value: unknown = Reflect.get(target, name, target);
      if (typeof value !== 'function') return value;
      // What is done under such a lock takes turns itself: it would wait for its own end.
      if (name === 'close' || name === 'exclusively')
        return (...args: unknown[]) => Reflect.apply(value, target, args) as unknown;
      const method = String(name);
      return (...args: unknown[]): unknown =>
        turns.take(keyOf(method, args) ?? `${method} ${++asked}`, async () => {
          await before();
          return (await Reflect.apply(value, target, args)) as unknown;
        });
    },
  });
}
