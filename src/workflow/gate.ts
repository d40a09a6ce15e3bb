import { backoffMs, type BackoffOptions } from './backoff.js';

export interface GateOptions extends BackoffOptions {
  now: () => number;
  random: () => number;
}

/**
 * Stands before something outside that may be away (node, signer). While it answers, everybody passes; after a failure nobody does
 * for a while, then one at a time, so that a thousand payouts do not each wait for the same time-out.
 */
export class Gate {
  #failures = 0;
  #closedUntilMs = 0;
  #isProbing = false;

  constructor(private readonly options: GateOptions) {}

  /** 0 where one may pass now; else the moment at which to ask again, in milliseconds since 1970. */
  opensAtMs(): number {
    if (this.#failures === 0) return 0;
    const now = this.options.now();
    if (now < this.#closedUntilMs) return this.#closedUntilMs;
    return this.#isProbing ? now + this.options.firstMs : 0;
  }

  /** Passes. `use` says whether what is behind the gate answered. */
  async pass<T>(use: () => Promise<T>, hasAnswered: (result: T) => boolean): Promise<T> {
    this.#isProbing = this.#failures > 0;
    let answered = false;
    try {
      const result = await use();
      answered = hasAnswered(result);
      return result;
    } finally {
      this.#isProbing = false;
      this.#failures = answered ? 0 : this.#failures + 1;
      if (!answered) {
        this.#closedUntilMs = this.options.now() + backoffMs(this.options, this.#failures, this.options.random());
      }
    }
  }
}
