/** How many it takes to know that there is more than one. */
const SEVERAL = 2;

/**
 * Wallets with a descriptor that this process has seen: those that it made, at once, and those of others when the read model has
 * them. A wallet never goes away, so once there are several there always are, and nothing is looked up any more.
 */
export class KnownPayers {
  readonly #known = new Set<string>();

  /** @param look up to so many ids of wallets with a descriptor, from a read model that may be a moment old */
  constructor(private readonly look: (limit: number) => Promise<readonly string[]>) {}

  /** The wallet was made by this process. */
  add(walletId: string): void {
    if (this.#known.size < SEVERAL) this.#known.add(walletId);
  }

  /** None, the only one, or two of several. */
  async ids(): Promise<readonly string[]> {
    if (this.#known.size < SEVERAL) for (const walletId of await this.look(SEVERAL)) this.add(walletId);
    return [...this.#known];
  }
}
