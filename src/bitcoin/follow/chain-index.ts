import { workOf } from '../../domain/work.js';
import { invariant } from '../../platform/assert.js';
import { createSlotTable } from '../scan/slot-table.js';

export interface BlockPlace {
  height: number;
  hash: string;
}

/** The chain as the ledger believes it, for those who only look. */
export interface ConnectedChain {
  /** Where the ledger begins; never disconnected. */
  readonly start: BlockPlace;
  readonly tip: BlockPlace;
  /** Undefined below the start and above the tip. */
  hashAt(height: number): string | undefined;
  /** Undefined for a block that is not connected. */
  heightOf(hash: string): number | undefined;
  /** Work of the blocks above the start, up to and with this height. */
  workAt(height: number): bigint;
}

export interface ConnectedBlock extends BlockPlace {
  bits: number;
  /** Revision of its `BlockConnected` on the chain's stream. */
  revision: number;
}

/** The connected blocks, 64 bytes each and up to 32 for the look-up by hash: 900,000 blocks take less than 100 MiB. */
export interface ChainIndex extends ConnectedChain {
  /** Height and hash of what is pushed must stand on the tip; the caller has checked it. */
  push(block: { hash: string; bits: number; revision: number }): void;
  /** Takes the tip off. */
  pop(): ConnectedBlock;
  block(height: number): ConnectedBlock;
}

const HASH_BYTES = 32;
const INITIAL_BLOCKS = 1024;

export function createChainIndex(start: BlockPlace): ChainIndex {
  let capacity = INITIAL_BLOCKS;
  let hashes = new Uint8Array(HASH_BYTES * capacity);
  let bitsOf = new Uint32Array(capacity);
  let revisions = new Float64Array(capacity);
  /** Low and high 64 bits of the work up to the block: mainnet's is below 2^97. */
  let works = new BigUint64Array(2 * capacity);
  let length = 0;
  const table = createSlotTable();

  const grow = (): void => {
    capacity *= 2;
    hashes = extended(hashes, new Uint8Array(HASH_BYTES * capacity));
    bitsOf = extended(bitsOf, new Uint32Array(capacity));
    revisions = extended(revisions, new Float64Array(capacity));
    works = extended(works, new BigUint64Array(2 * capacity));
  };
  const hashText = (index: number): string =>
    Buffer.from(hashes.buffer, hashes.byteOffset + HASH_BYTES * index, HASH_BYTES).toString('hex');
  /** The digits that people read last are the ones that proof of work leaves random. */
  const shortHash = (hash: string): number => parseInt(hash.slice(-8), 16);
  const indexOf = (height: number): number => height - start.height - 1;
  const slotOf = (hash: string): number => {
    const short = shortHash(hash);
    for (let slot = table.start(short); ; slot = table.next(slot)) {
      const reference = table.reference(slot);
      if (reference === 0) return -1;
      if (table.hash(slot) === short && hashText(reference - 1) === hash) return slot;
    }
  };
  const workOfIndex = (index: number): bigint =>
    index < 0 ? 0n : ((works[2 * index + 1] ?? 0n) << 64n) | (works[2 * index] ?? 0n);
  const block = (height: number): ConnectedBlock => {
    const index = indexOf(height);
    const [bits, revision] = [bitsOf[index], revisions[index]];
    invariant(
      index < length && bits !== undefined && revision !== undefined,
      `no block was connected at height ${height}`,
    );
    return { height, hash: hashText(index), bits, revision };
  };

  const chain: ChainIndex = {
    start,
    get tip() {
      return length === 0 ? start : { height: start.height + length, hash: hashText(length - 1) };
    },
    hashAt(height) {
      if (height === start.height) return start.hash;
      const index = indexOf(height);
      return index >= 0 && index < length ? hashText(index) : undefined;
    },
    heightOf(hash) {
      if (hash === start.hash) return start.height;
      const slot = slotOf(hash);
      return slot === -1 ? undefined : start.height + table.reference(slot);
    },
    workAt(height) {
      invariant(height >= start.height && height <= chain.tip.height, `height ${height} is not connected`);
      return workOfIndex(indexOf(height));
    },
    block,
    push({ hash, bits, revision }) {
      invariant(chain.heightOf(hash) === undefined, `block ${hash} is connected already`);
      if (length === capacity) grow();
      const work = workOfIndex(length - 1) + workOf(bits);
      hashes.set(Buffer.from(hash, 'hex'), HASH_BYTES * length);
      bitsOf[length] = bits;
      revisions[length] = revision;
      works[2 * length] = BigInt.asUintN(64, work);
      works[2 * length + 1] = work >> 64n;
      length++;
      table.insert(shortHash(hash), length);
    },
    pop() {
      invariant(length > 0, 'the start of the chain is never disconnected');
      const tip = block(start.height + length);
      table.remove(slotOf(tip.hash));
      length--;
      return tip;
    },
  };
  return chain;
}

function extended<T extends Uint8Array | Uint32Array | Float64Array | BigUint64Array>(from: T, to: T): T {
  // One of the four kinds on both sides, which the compiler cannot see in a union.
  (to as Uint8Array).set(from as Uint8Array);
  return to;
}
