import type { StreamEnd } from './slots.js';

/** Streams with fences whose number is remembered; another one costs one refused append. */
const MAX_STREAMS = 10_000;

/** How far EventStoreDB's revisions of streams are above the ledger's, as last seen: the number of fences in them. */
export class FenceCounts {
  readonly #counts = new Map<string, bigint>();

  of(stream: string): bigint {
    return this.#counts.get(stream) ?? 0n;
  }

  forget(stream: string): void {
    this.#counts.delete(stream);
  }

  remember(stream: string, { stored, revision }: StreamEnd): void {
    if (stored === revision) {
      this.#counts.delete(stream);
      return;
    }
    const [oldest] = this.#counts.keys();
    if (this.#counts.size >= MAX_STREAMS && oldest !== undefined) this.#counts.delete(oldest);
    this.#counts.set(stream, stored - revision);
  }
}
