import { Transaction } from 'bitcoinjs-lib';
import { createMemorySource, makeBlock, type MadeBlock, type MemorySource } from '../support/memory-chain.js';

export interface KnownTransaction {
  txid: string;
  hex: string;
  transaction: Transaction;
  /** `txid:vout` */
  inputs: readonly string[];
  outputs: readonly Output[];
  feeSats: bigint;
  weight: number;
}

export interface Output {
  /** Hex. */
  script: string;
  amountSats: bigint;
}

export interface Spend {
  txid: string;
  height: number;
}

/** What a block is filled with. `any`: whatever was ever sent and is possible, as any miner may choose. */
export type Filling = 'mempool' | 'nothing' | 'any';

/** Blocks with real bytes, and the rule that no branch spends a coin twice. Signatures are somebody else's business. */
export class SimulatedChain {
  readonly source: MemorySource = createMemorySource('rpc');
  /** Every transaction that was ever seen by anybody. */
  readonly known = new Map<string, KnownTransaction>();
  readonly mempool = new Map<string, KnownTransaction>();
  /** What left the hands of who made it: any miner may have it. */
  readonly published = new Set<string>();
  /** On the best branch. */
  readonly places = new Map<string, { hash: string; height: number }>();
  readonly #spends = new Map<string, Spend>();
  readonly #blocks: MadeBlock[] = [];
  /** Coins of the outside world: deposits come from there. */
  readonly #external = new Map<string, bigint>();
  #made = 0;

  get height(): number {
    return this.#blocks.length;
  }

  /** Takes the transaction into what is known. Undefined where a coin that it spends was never heard of. */
  learn(hex: string): KnownTransaction | undefined {
    const transaction = Transaction.fromHex(hex);
    const txid = transaction.getId();
    const known = this.known.get(txid);
    if (known !== undefined) return known;
    const inputs = transaction.ins.map(({ hash, index }) => `${Buffer.from(hash).reverse().toString('hex')}:${index}`);
    const outputs = transaction.outs.map(({ script, value }) => {
      return { script: Buffer.from(script).toString('hex'), amountSats: value };
    });
    let feeSats = -outputs.reduce((sum, { amountSats }) => sum + amountSats, 0n);
    for (const outpoint of inputs) {
      const amount = this.#external.get(outpoint) ?? this.outputOf(outpoint)?.amountSats;
      if (amount === undefined) return undefined;
      feeSats += amount;
    }
    const learnt = { txid, hex, transaction, inputs, outputs, feeSats, weight: transaction.weight() };
    this.known.set(txid, learnt);
    return learnt;
  }

  outputOf(outpoint: string): Output | undefined {
    const [txid = '', vout] = outpoint.split(':');
    return this.known.get(txid)?.outputs[Number(vout)];
  }

  /** A coin of the outside world, to make a deposit of. */
  externalCoin(outpoint: string, amountSats: bigint): void {
    this.#external.set(outpoint, amountSats);
  }

  spendOf(outpoint: string): Spend | undefined {
    return this.#spends.get(outpoint);
  }

  /** On the best branch, made by it or by the outside, and not spent in it. */
  isUnspent(outpoint: string): boolean {
    const [txid = ''] = outpoint.split(':');
    return (this.#external.has(outpoint) || this.places.has(txid)) && !this.#spends.has(outpoint);
  }

  depthOf(height: number): number {
    return this.height - height + 1;
  }

  confirmations(txid: string): number {
    const place = this.places.get(txid);
    return place === undefined ? 0 : this.depthOf(place.height);
  }

  /** Every output of the best branch with this script, spent or not. */
  paidTo(script: string): { txid: string; amountSats: bigint; height: number }[] {
    return [...this.places].flatMap(([txid, { height }]) =>
      (this.known.get(txid)?.outputs ?? [])
        .filter((output) => output.script === script)
        .map(({ amountSats }) => ({ txid, amountSats, height })),
    );
  }

  unspentOf(scripts: ReadonlySet<string>): { outpoint: string; amountSats: bigint }[] {
    return [...this.places.keys()].flatMap((txid) =>
      (this.known.get(txid)?.outputs ?? []).flatMap(({ script, amountSats }, vout) => {
        const outpoint = `${txid}:${vout}`;
        return scripts.has(script) && !this.#spends.has(outpoint) ? [{ outpoint, amountSats }] : [];
      }),
    );
  }

  /** Transactions of the mempool that spend a coin of this one, other ones. */
  conflictsOf({ txid, inputs }: KnownTransaction): KnownTransaction[] {
    const spent = new Set(inputs);
    return [...this.mempool.values()].filter(
      (other) => other.txid !== txid && other.inputs.some((outpoint) => spent.has(outpoint)),
    );
  }

  withDescendants(transactions: readonly KnownTransaction[]): KnownTransaction[] {
    const all = new Map(transactions.map((one) => [one.txid, one]));
    for (let size = 0; size < all.size;) {
      size = all.size;
      for (const other of this.mempool.values()) {
        if (other.inputs.some((outpoint) => all.has(outpoint.slice(0, 64)))) all.set(other.txid, other);
      }
    }
    return [...all.values()];
  }

  /** Into the mempool, in place of what conflicts with it. What else a mempool asks is asked elsewhere. */
  admit(transaction: KnownTransaction): void {
    for (const { txid } of this.withDescendants(this.conflictsOf(transaction))) this.mempool.delete(txid);
    this.mempool.set(transaction.txid, transaction);
  }

  evict(txid: string): void {
    const entry = this.mempool.get(txid);
    if (entry === undefined) return;
    for (const gone of this.withDescendants([entry])) this.mempool.delete(gone.txid);
  }

  /** Whether it could be in the next block, given what else is in it. */
  #fits({ txid, inputs, transaction }: KnownTransaction, block: readonly KnownTransaction[]): boolean {
    if (this.places.has(txid) || transaction.locktime > this.height) return false;
    const spent = new Set(block.flatMap((other) => other.inputs));
    const made = new Set(block.map((other) => other.txid));
    return inputs.every(
      (outpoint) => !spent.has(outpoint) && (made.has(outpoint.slice(0, 64)) || this.isUnspent(outpoint)),
    );
  }

  /** Adds blocks; what `first` asks for is in the first of them if it is possible at all. */
  mine(count: number, filling: Filling, first: readonly KnownTransaction[] = [], pick?: () => boolean): void {
    for (let n = 0; n < count; n++) this.#connect(this.#fill(filling, n === 0 ? first : [], pick));
    this.#follow();
  }

  #fill(filling: Filling, first: readonly KnownTransaction[], pick: (() => boolean) | undefined): KnownTransaction[] {
    const chosen: KnownTransaction[] = [];
    const candidates = [...first];
    if (filling === 'any') candidates.push(...this.#publishedOnes().filter(() => pick?.() ?? true));
    if (filling === 'mempool') candidates.push(...this.mempool.values());
    // Twice: a child may be listed before its parent.
    for (const candidate of [...candidates, ...candidates]) {
      if (!chosen.includes(candidate) && this.#fits(candidate, chosen)) chosen.push(candidate);
    }
    return chosen;
  }

  #publishedOnes(): KnownTransaction[] {
    return [...this.published].flatMap((txid) => this.known.get(txid) ?? []);
  }

  #connect(transactions: readonly KnownTransaction[]): void {
    const parent = this.#blocks.at(-1) ?? this.source.best;
    const tag = `${++this.#made}`;
    const block = makeBlock(parent, { tag, transactions: transactions.map(({ transaction }) => transaction) });
    this.source.add(block, { asTip: false });
    this.#blocks.push(block);
    for (const { txid, inputs } of transactions) {
      this.places.set(txid, { hash: block.hash, height: block.height });
      for (const outpoint of inputs) this.#spends.set(outpoint, { txid, height: block.height });
      this.mempool.delete(txid);
    }
    for (const entry of [...this.mempool.values()]) {
      if (entry.inputs.some((outpoint) => this.#spends.has(outpoint))) this.evict(entry.txid);
    }
  }

  /** The tip is told to the source when all is done: nobody sees half of it. */
  #follow(): void {
    const tip = this.#blocks.at(-1);
    if (tip !== undefined) this.source.setTip(tip);
  }

  /**
   * Takes blocks off and puts one more in their place.
   *
   * @param lost whether their transactions go back to the mempool
   */
  reorg(
    depth: number,
    lost: 'kept' | 'forgotten',
    filling: Filling,
    first: readonly KnownTransaction[],
    pick: () => boolean,
  ): void {
    const back: KnownTransaction[] = [];
    for (const block of this.#blocks.splice(this.#blocks.length - depth, depth)) {
      for (const transaction of block.transactions.slice(1)) {
        const known = this.known.get(transaction.getId());
        if (known === undefined) continue;
        this.places.delete(known.txid);
        for (const outpoint of known.inputs) this.#spends.delete(outpoint);
        back.push(known);
      }
    }
    const before = [...this.mempool.values()];
    this.mempool.clear();
    for (const entry of [...(lost === 'kept' ? back : []), ...before]) {
      const isThere = entry.inputs.every(
        (outpoint) => this.isUnspent(outpoint) || this.mempool.has(outpoint.slice(0, 64)),
      );
      if (isThere && this.conflictsOf(entry).length === 0) this.mempool.set(entry.txid, entry);
    }
    for (let n = 0; n <= depth; n++) this.#connect(this.#fill(filling, n === 0 ? first : [], pick));
    this.#follow();
  }
}
