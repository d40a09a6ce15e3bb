import {
  call,
  doWhile,
  get,
  i32,
  i32x4,
  i8x16,
  join,
  memoryCopy,
  memoryFill,
  set,
  v128,
  wasmModule,
  type Code,
  type Local,
} from './wasm-emitter.js';

/**
 * SHA-256 (FIPS 180-4) of four messages at once: lane `i` of every vector belongs to message `i`. Vectors of a state
 * are laid out word by word: 16 bytes with word 0 of the four messages, then word 1 …
 */

/** The four running states: eight vectors. */
const STATE_ADDRESS = 1024;
/** First address that the module leaves to its caller. */
export const ARENA_ADDRESS = 2048;

const ROUND_CONSTANTS_ADDRESS = 0;
const PADDING_BLOCK_ADDRESS = 256;
const ROUNDS = 64;
const LANES = [0, 1, 2, 3] as const;
const BLOCK_BYTES = 64;
const DIGEST_BYTES = 32;
const VECTOR_BYTES = 16;

/** First 32 bits of the fractional parts of the `1 / exponent` powers of the first `count` primes (FIPS 180-4, 4.2.2, 5.3.3). */
function primeRoots(count: number, exponent: 2 | 3): number[] {
  const roots: number[] = [];
  for (let candidate = 2; roots.length < count; candidate++) {
    let prime = true;
    for (let divisor = 2; divisor * divisor <= candidate; divisor++) prime &&= candidate % divisor !== 0;
    if (prime) roots.push(fractionOfRoot(BigInt(candidate), exponent));
  }
  return roots;
}

function fractionOfRoot(value: bigint, exponent: 2 | 3): number {
  // The integer root of value × 2^(32 × exponent) has the 32 bits of the fraction at its end. Exact, by bisection.
  const scaled = value << (32n * BigInt(exponent));
  let low = 0n;
  let high = 1n << 40n;
  while (high - low > 1n) {
    const middle = (low + high) >> 1n;
    if (middle ** BigInt(exponent) <= scaled) low = middle;
    else high = middle;
  }
  return Number(low & 0xffffffffn);
}

const INITIAL_STATE: readonly number[] = primeRoots(8, 2);
const ROUND_CONSTANTS: readonly number[] = primeRoots(ROUNDS, 3);

const rotr = (word: number, bits: number): number => (word >>> bits) | (word << (32 - bits));

/** Schedule plus round constants of the block that pads every 64-byte message: known beforehand, so never computed again. */
function paddingBlockOf64Bytes(): number[] {
  const words: number[] = [0x80000000, ...new Array<number>(14).fill(0), 64 * 8];
  const at = (index: number): number => words[index] ?? 0;
  for (let t = 16; t < ROUNDS; t++) {
    const a = at(t - 15);
    const b = at(t - 2);
    const s0 = rotr(a, 7) ^ rotr(a, 18) ^ (a >>> 3);
    const s1 = rotr(b, 17) ^ rotr(b, 19) ^ (b >>> 10);
    words.push((s1 + at(t - 7) + s0 + at(t - 16)) | 0);
  }
  return words.map((word, t) => (word + (ROUND_CONSTANTS[t] ?? 0)) | 0);
}

const advance = (local: Local, by: number): Code => set(local, i32.add(get(local), i32.const(by)));

/** The sigma functions of FIPS 180-4 (4.1.2): rotations of `x`, and for the message schedule a shift, xored together. */
function sigma(x: Code, rotations: readonly number[], shifts: readonly number[] = []): Code {
  const right = [...rotations, ...shifts].map((bits) => i32x4.shrU(x, bits));
  const left = rotations.map((bits) => i32x4.shl(x, 32 - bits));
  return [...right, ...left].reduce(v128.xor);
}

/** Locals that the rounds use, from `first`: one of 32 bits, 26 vectors. */
interface RoundLocals {
  constants: Local;
  words: Local[];
  state: Local[];
  sum: Local;
  differs: Local;
}

const ROUND_LOCALS = { i32: 1, v128: 26 };

function roundLocals(first: Local): RoundLocals {
  const range = (from: number, count: number): Local[] => Array.from({ length: count }, (_, i) => from + i);
  return {
    constants: first,
    words: range(first + 1, 16),
    state: range(first + 17, 8),
    sum: first + 25,
    differs: first + 26,
  };
}

/** Round `t`, which adds `input` (FIPS 180-4, 6.2.2, step 3). */
function round(locals: RoundLocals, t: number, input: Code): Code {
  const { state, sum, differs } = locals;
  // The roles of the eight locals move by one each round, so that nothing is copied.
  const role = (index: number): Local => state[(((index - t) % 8) + 8) % 8] ?? 0;
  const [a, b, d, h] = [role(0), role(1), role(3), role(7)];
  const [e, f, g] = [role(4), role(5), role(6)];
  const choice = v128.bitselect(get(f), get(g), get(e));
  return join(
    set(sum, i32x4.add(i32x4.add(get(h), input), i32x4.add(choice, sigma(get(e), [6, 11, 25])))),
    set(d, i32x4.add(get(d), get(sum))),
    set(h, i32x4.add(get(sum), sigma(get(a), [2, 13, 22]))),
    // Majority is b ^ ((a ^ b) & (b ^ c)), and this round's a ^ b is the next round's b ^ c.
    set(sum, v128.xor(get(a), get(b))),
    set(h, i32x4.add(get(h), v128.xor(get(b), v128.and(get(sum), get(differs))))),
    set(differs, get(sum)),
  );
}

/** Word `t` of the message schedule, in place of word `t - 16`. */
function schedule(locals: RoundLocals, t: number): Code {
  const word = (index: number): Code => get(locals.words[index % 16] ?? 0);
  const s0 = sigma(word(t + 1), [7, 18], [3]);
  const s1 = sigma(word(t + 14), [17, 19], [10]);
  return set(locals.words[t % 16] ?? 0, i32x4.add(i32x4.add(word(t), word(t + 9)), i32x4.add(s0, s1)));
}

const SIXTEEN = Array.from({ length: 16 }, (_, t) => t);
const NO_ADDRESS = i32.const(0);

/** `b ^ c`, which the first round needs. */
const firstDiffers = ({ state, differs }: RoundLocals): Code =>
  set(differs, v128.xor(get(state[1] ?? 0), get(state[2] ?? 0)));

/**
 * 64 rounds over the state and the message in their locals (the message is overwritten): 16, and 3 times 16 in a loop.
 * All unrolled is longer than the processor's cache of decoded instructions: 400 instead of 270 ns per node of a Merkle tree.
 */
function rounds(locals: RoundLocals): Code {
  const { constants, words } = locals;
  const input = (t: number, constant: Code): Code => i32x4.add(get(words[t] ?? 0), constant);
  const first = SIXTEEN.map((t) =>
    round(locals, t, input(t, v128.load32Splat(NO_ADDRESS, ROUND_CONSTANTS_ADDRESS + 4 * t))),
  );
  const later = SIXTEEN.map((t) =>
    join(
      schedule(locals, t),
      round(locals, t, input(t, v128.load32Splat(get(constants), ROUND_CONSTANTS_ADDRESS + 4 * t))),
    ),
  );
  return join(
    firstDiffers(locals),
    ...first,
    set(constants, i32.const(4 * 16)),
    doWhile(join(...later, advance(constants, 4 * 16)), i32.sub(get(constants), i32.const(4 * ROUNDS))),
  );
}

/** 64 rounds of a message that is known beforehand, from a table of its schedule with the round constants added. */
function knownRounds(locals: RoundLocals, table: number): Code {
  const { constants } = locals;
  const sixteen = SIXTEEN.map((t) => round(locals, t, v128.load32Splat(get(constants), table + 4 * t)));
  return join(
    firstDiffers(locals),
    set(constants, i32.const(0)),
    doWhile(join(...sixteen, advance(constants, 4 * 16)), i32.sub(get(constants), i32.const(4 * ROUNDS))),
  );
}

const stateWord = (i: number): Code => v128.load(i32.const(STATE_ADDRESS), VECTOR_BYTES * i);

const loadState = (state: readonly Local[]): Code => state.flatMap((local, i) => set(local, stateWord(i)));

/** Adds the state from before the rounds to the one after them. */
const addState = (state: readonly Local[]): Code =>
  state.flatMap((local, i) => set(local, i32x4.add(get(local), stateWord(i))));

const storeState = (state: readonly Local[]): Code =>
  state.flatMap((local, i) => v128.store(i32.const(STATE_ADDRESS), get(local), VECTOR_BYTES * i));

const BIG_ENDIAN = [3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12];
const swapBytes = (x: Code): Code => i8x16.shuffle(x, x, BIG_ENDIAN);

/** Rows to columns of a 4 × 4 matrix of words, in place; `spare` are four more locals. */
function transpose(rows: readonly Local[], spare: readonly Local[]): Code {
  const [a = 0, b = 0, c = 0, d = 0] = rows;
  const [p = 0, q = 0, r = 0, s = 0] = spare;
  const low = [0, 4, 1, 5];
  const high = [2, 6, 3, 7];
  const lowHalves = [0, 1, 4, 5];
  const highHalves = [2, 3, 6, 7];
  return [
    ...set(p, i32x4.shuffle(get(a), get(b), low)),
    ...set(q, i32x4.shuffle(get(c), get(d), low)),
    ...set(r, i32x4.shuffle(get(a), get(b), high)),
    ...set(s, i32x4.shuffle(get(c), get(d), high)),
    ...set(a, i32x4.shuffle(get(p), get(q), lowHalves)),
    ...set(b, i32x4.shuffle(get(p), get(q), highHalves)),
    ...set(c, i32x4.shuffle(get(r), get(s), lowHalves)),
    ...set(d, i32x4.shuffle(get(r), get(s), highHalves)),
  ];
}

/** `blocks(p0, p1, p2, p3, count)`: takes `count` blocks of 64 bytes from each of the four addresses into the states. */
function blocksFunction(): Code {
  const count = 4;
  const locals = roundLocals(5);
  const { words, state } = locals;
  const load: Code = [];
  for (let quarter = 0; quarter < 4; quarter++) {
    const rows = words.slice(quarter * 4, quarter * 4 + 4);
    rows.forEach((row, lane) => load.push(...set(row, swapBytes(v128.load(get(lane), VECTOR_BYTES * quarter)))));
    // The state's locals are free until it is loaded.
    load.push(...transpose(rows, state));
  }
  const body = [
    ...load,
    ...loadState(state),
    ...rounds(locals),
    ...addState(state),
    ...storeState(state),
    ...LANES.flatMap((lane) => advance(lane, BLOCK_BYTES)),
    ...advance(count, -1),
  ];
  return doWhile(body, get(count));
}

/** `finish(to)`: hashes the four states, as digests, a second time; writes 4 × 32 bytes as they are read. */
function finishFunction(): Code {
  const to = 0;
  const locals = roundLocals(1);
  const { words, state } = locals;
  const padding = [0x80000000, 0, 0, 0, 0, 0, 0, 8 * DIGEST_BYTES];
  const initial = (i: number): Code => i32x4.splat(INITIAL_STATE[i] ?? 0);
  const [low, high, spare] = [state.slice(0, 4), state.slice(4), words.slice(0, 4)];
  return [
    ...loadState(words.slice(0, 8)),
    ...words.slice(8).flatMap((word, i) => set(word, i32x4.splat(padding[i] ?? 0))),
    ...state.flatMap((local, i) => set(local, initial(i))),
    ...rounds(locals),
    ...state.flatMap((local, i) => set(local, swapBytes(i32x4.add(get(local), initial(i))))),
    ...transpose(low, spare),
    ...transpose(high, spare),
    ...low.flatMap((local, lane) => v128.store(get(to), get(local), DIGEST_BYTES * lane)),
    ...high.flatMap((local, lane) => v128.store(get(to), get(local), DIGEST_BYTES * lane + VECTOR_BYTES)),
  ];
}

/** `padding()`: takes the block that pads a 64-byte message into the states. */
function paddingFunction(): Code {
  const locals = roundLocals(0);
  const { state } = locals;
  return [...loadState(state), ...knownRounds(locals, PADDING_BLOCK_ADDRESS), ...addState(state), ...storeState(state)];
}

const initialise = (): Code =>
  INITIAL_STATE.flatMap((word, i) => v128.store(i32.const(STATE_ADDRESS), i32x4.splat(word), VECTOR_BYTES * i));

/** `pairs(from, to, groups)`: SHA-256d of four 64-byte messages at a time, as in a Merkle tree. `to` may be `from`. */
function pairsFunction(): Code {
  const [from, to, groups] = [0, 1, 2];
  const pointers = LANES.map((lane) => i32.add(get(from), i32.const(BLOCK_BYTES * lane)));
  const body = [
    ...initialise(),
    ...call(FUNCTION.blocks, ...pointers, i32.const(1)),
    ...call(FUNCTION.padding),
    ...call(FUNCTION.finish, get(to)),
    ...advance(from, 4 * BLOCK_BYTES),
    ...advance(to, 4 * DIGEST_BYTES),
    ...advance(groups, -1),
  ];
  return doWhile(body, get(groups));
}

/**
 * `messages(list, to, blocks, groups)`: SHA-256d of four messages at a time, all of `blocks` blocks, padded; the list has
 * their addresses, 4 bytes each.
 */
function messagesFunction(): Code {
  const [list, to, blocks, groups] = [0, 1, 2, 3];
  const pointers = LANES.map((lane) => i32.load(get(list), 4 * lane));
  const body = [
    ...initialise(),
    ...call(FUNCTION.blocks, ...pointers, get(blocks)),
    ...call(FUNCTION.finish, get(to)),
    ...advance(list, 4 * 4),
    ...advance(to, 4 * DIGEST_BYTES),
    ...advance(groups, -1),
  ];
  return doWhile(body, get(groups));
}

/**
 * `stage(to, start, bodyStart, bodyEnd, end)`: writes a transaction as a padded message: the first 4 bytes from `start`
 * (version), the body, the last 4 bytes before `end` (lock time). Returns how many blocks of 64 bytes it is.
 */
function stageFunction(): Code {
  const [to, start, bodyStart, bodyEnd, end, length, blocks] = [0, 1, 2, 3, 4, 5, 6];
  const lastBlockEnd = i32.add(get(to), i32.shl(get(blocks), i32.const(6)));
  const bits = swapBytesOfWord(i32.shl(get(length), i32.const(3)));
  return [
    ...i32.store(get(to), i32.load(get(start))),
    ...set(length, i32.sub(get(bodyEnd), get(bodyStart))),
    ...memoryCopy(i32.add(get(to), i32.const(4)), get(bodyStart), get(length)),
    ...i32.store(i32.add(get(to), get(length)), i32.load(i32.sub(get(end), i32.const(4))), 4),
    ...set(length, i32.add(get(length), i32.const(8))),
    // The message, one byte 0x80, the length in 8 bytes, rounded up.
    ...set(blocks, i32.shrU(i32.add(get(length), i32.const(9 + 63)), i32.const(6))),
    ...memoryFill(
      i32.add(get(to), get(length)),
      i32.const(0),
      i32.sub(i32.shl(get(blocks), i32.const(6)), get(length)),
    ),
    ...i32.store(i32.add(get(to), get(length)), i32.const(0x80)),
    // Messages are far below 2^29 bytes, so that the upper half of the length is always 0.
    ...i32.store(i32.sub(lastBlockEnd, i32.const(4)), bits),
    ...get(blocks),
  ];
}

function swapBytesOfWord(value: Code): Code {
  const byte = (shift: number): Code => i32.and(i32.shrU(value, i32.const(shift)), i32.const(0xff));
  return [
    i32.shl(byte(0), i32.const(24)),
    i32.shl(byte(8), i32.const(16)),
    i32.shl(byte(16), i32.const(8)),
    byte(24),
  ].reduce(i32.or);
}

/** What the kernel exports. Addresses are those of its memory; counts of groups (of four) and blocks are at least 1. */
export interface Sha256Kernel {
  memory: { buffer: ArrayBuffer; grow(pages: number): number };
  pairs(from: number, to: number, groups: number): void;
  messages(list: number, to: number, blocks: number, groups: number): void;
  stage(to: number, start: number, bodyStart: number, bodyEnd: number, end: number): number;
}

/** Numbers of the functions that others call: their places in the module. */
const FUNCTION = { blocks: 0, finish: 1, padding: 2 } as const;

function kernelModule(): Uint8Array<ArrayBuffer> {
  const fn = (name: string, parameters: number, body: Code, locals: { i32?: number; v128?: number } = {}) => ({
    name,
    parameters,
    returnsI32: name === 'stage',
    i32Locals: locals.i32 ?? 0,
    v128Locals: locals.v128 ?? 0,
    body,
  });
  const functions = [
    fn('blocks', 5, blocksFunction(), ROUND_LOCALS),
    fn('finish', 1, finishFunction(), ROUND_LOCALS),
    fn('padding', 0, paddingFunction(), ROUND_LOCALS),
    fn('pairs', 3, pairsFunction()),
    fn('messages', 4, messagesFunction()),
    fn('stage', 5, stageFunction(), { i32: 2 }),
  ];
  const tables = Uint32Array.from([...ROUND_CONSTANTS, ...paddingBlockOf64Bytes()]);
  return wasmModule(functions, 1, new Uint8Array(tables.buffer));
}

/** The part of the WebAssembly API that is used; `@types/node` leaves it to the browser's library. */
interface WebAssemblyApi {
  Module: new (bytes: Uint8Array<ArrayBuffer>) => object;
  Instance: new (module: object) => { exports: unknown };
}

/** Builds and compiles the kernel, in some milliseconds. Needs WebAssembly SIMD, which Node has since 16.4. */
export function createSha256Kernel(): Sha256Kernel {
  const { WebAssembly } = globalThis as unknown as { WebAssembly: WebAssemblyApi };
  return new WebAssembly.Instance(new WebAssembly.Module(kernelModule())).exports as Sha256Kernel;
}
