import type { TestPayer } from '../support/payment-plan.js';

/** Of both branches: more than a simulation ever hands out. */
const MAX_INDEX = 2_000;
/** Beyond the last index that was used: what the ledger watches ahead. */
const AHEAD = 30;

type Key = ReturnType<TestPayer['keyAt']>;

/** The wallet's keys and scripts, derived once: each costs a point multiplication. */
export class WalletKeys {
  readonly #scripts: [string[], string[]] = [[], []];
  readonly #places = new Map<string, { branch: 0 | 1; index: number }>();
  readonly #keys = new Map<string, Key>();
  #highest: [number, number] = [0, 0];

  constructor(readonly payer: TestPayer) {}

  /** An index was used: scripts up to some more are the wallet's. */
  used(branch: 0 | 1, index: number): void {
    this.#highest[branch] = Math.max(this.#highest[branch], index);
  }

  /** Scripts that may hold coins of the wallet. */
  scripts(): ReadonlySet<string> {
    for (const branch of [0, 1] as const) this.#deriveTo(branch, this.#highest[branch] + AHEAD);
    return new Set(this.#places.keys());
  }

  keyOf(script: string): Key {
    const known = this.#keys.get(script);
    if (known !== undefined) return known;
    for (let index = 0; index < MAX_INDEX && !this.#places.has(script); index += AHEAD) {
      for (const branch of [0, 1] as const) this.#deriveTo(branch, index);
    }
    const place = this.#places.get(script);
    if (place === undefined) throw new Error(`no key of the wallet for ${script}`);
    const key = this.payer.keyAt(place.branch, place.index);
    this.#keys.set(script, key);
    return key;
  }

  #deriveTo(branch: 0 | 1, last: number): void {
    const scripts = this.#scripts[branch];
    while (scripts.length <= last) {
      const index = scripts.length;
      const script = this.payer.script(branch, index);
      scripts.push(script);
      this.#places.set(script, { branch, index });
    }
  }
}
