/**
 * Just enough of the WebAssembly binary format (core specification 2.0, with fixed-width SIMD) to write the SHA-256
 * kernel as expressions. Code is an array of bytes; an instruction appends its opcode to the code of its operands.
 * The module is built when the process starts, so no generated file has to be kept in step with its source.
 */
export type Code = number[];

/** Index of a local variable. */
export type Local = number;

const I32 = 0x7f;
const V128 = 0x7b;
const EMPTY_BLOCK = 0x40;
const SIMD_PREFIX = 0xfd;
const BULK_MEMORY_PREFIX = 0xfc;

/** Unsigned LEB128. */
function unsigned(value: number): Code {
  const bytes: Code = [];
  for (let rest = value >>> 0; ; rest >>>= 7) {
    if (rest < 0x80) return [...bytes, rest];
    bytes.push((rest & 0x7f) | 0x80);
  }
}

/** Signed LEB128 of a 32-bit integer. */
function signed(value: number): Code {
  const bytes: Code = [];
  for (let rest = value | 0; ; rest >>= 7) {
    const done = (rest >> 6 === 0 || rest >> 6 === -1) && (rest & 0x40) === (rest < 0 ? 0x40 : 0);
    if (done) return [...bytes, rest & 0x7f];
    bytes.push((rest & 0x7f) | 0x80);
  }
}

/** Instructions one after the other. `concat` copies whole arrays, which `flat` and `flatMap` do element by element. */
export const join = (...parts: Code[]): Code => ([] as Code).concat(...parts);

const simd = (opcode: number, ...operands: Code[]): Code => join(...operands, [SIMD_PREFIX], unsigned(opcode));

/** Memory arguments promise no alignment: transactions begin anywhere. */
const unaligned = (offset: number): Code => [0, ...unsigned(offset)];

export const get = (local: Local): Code => [0x20, ...unsigned(local)];
export const set = (local: Local, value: Code): Code => join(value, [0x21], unsigned(local));

export const i32 = {
  const: (value: number): Code => [0x41, ...signed(value)],
  add: (a: Code, b: Code): Code => [...a, ...b, 0x6a],
  sub: (a: Code, b: Code): Code => [...a, ...b, 0x6b],
  and: (a: Code, b: Code): Code => [...a, ...b, 0x71],
  or: (a: Code, b: Code): Code => [...a, ...b, 0x72],
  shl: (a: Code, b: Code): Code => [...a, ...b, 0x74],
  shrU: (a: Code, b: Code): Code => [...a, ...b, 0x76],
  load: (address: Code, offset = 0): Code => [...address, 0x28, ...unaligned(offset)],
  store: (address: Code, value: Code, offset = 0): Code => [...address, ...value, 0x36, ...unaligned(offset)],
};

export const memoryCopy = (to: Code, from: Code, length: Code): Code => [
  ...to,
  ...from,
  ...length,
  BULK_MEMORY_PREFIX,
  10,
  0,
  0,
];
export const memoryFill = (to: Code, value: Code, length: Code): Code => [
  ...to,
  ...value,
  ...length,
  BULK_MEMORY_PREFIX,
  11,
  0,
];

export const v128 = {
  load: (address: Code, offset = 0): Code => join(simd(0, address), unaligned(offset)),
  load32Splat: (address: Code, offset = 0): Code => join(simd(9, address), unaligned(offset)),
  store: (address: Code, value: Code, offset = 0): Code => join(simd(11, address, value), unaligned(offset)),
  and: (a: Code, b: Code): Code => simd(78, a, b),
  xor: (a: Code, b: Code): Code => simd(81, a, b),
  /** Bits of `a` where `mask` is one, of `b` where it is zero. */
  bitselect: (a: Code, b: Code, mask: Code): Code => simd(82, a, b, mask),
};

export const i8x16 = {
  /** Byte `i` of the result is byte `lanes[i]` of `a` followed by `b`. */
  shuffle: (a: Code, b: Code, lanes: readonly number[]): Code => join(simd(13, a, b), [...lanes]),
};

export const i32x4 = {
  splat: (value: number): Code => simd(17, i32.const(value)),
  shl: (a: Code, bits: number): Code => simd(171, a, i32.const(bits)),
  shrU: (a: Code, bits: number): Code => simd(173, a, i32.const(bits)),
  add: (a: Code, b: Code): Code => simd(174, a, b),
  /** 32-bit lanes of `a` (0 to 3) and `b` (4 to 7). */
  shuffle: (a: Code, b: Code, lanes: readonly number[]): Code =>
    i8x16.shuffle(
      a,
      b,
      lanes.flatMap((lane) => [lane * 4, lane * 4 + 1, lane * 4 + 2, lane * 4 + 3]),
    ),
};

/** Repeats `body` while `condition` is not zero, at least once. */
export const doWhile = (body: Code, condition: Code): Code => [0x03, EMPTY_BLOCK, ...body, ...condition, 0x0d, 0, 0x0b];

export const call = (functionIndex: number, ...operands: Code[]): Code =>
  join(...operands, [0x10], unsigned(functionIndex));

/** A function of 32-bit parameters. Locals are numbered: parameters, then `i32Locals`, then `v128Locals`. */
export interface WasmFunction {
  name: string;
  parameters: number;
  returnsI32: boolean;
  i32Locals: number;
  v128Locals: number;
  body: Code;
}

const vector = (items: readonly Code[]): Code => join(unsigned(items.length), ...items);
const sized = (bytes: Code): Code => [...unsigned(bytes.length), ...bytes];
const section = (id: number, content: Code): Code => [id, ...sized(content)];
const text = (value: string): Code => sized([...new TextEncoder().encode(value)]);

function functionBody(fn: WasmFunction): Code {
  const locals = vector([
    [...unsigned(fn.i32Locals), I32],
    [...unsigned(fn.v128Locals), V128],
  ]);
  return sized([...locals, ...fn.body, 0x0b]);
}

/**
 * Bytes of a module with one exported memory (`memory`, of `pages` × 64 KiB to begin with, `data` at address 0) and
 * these functions, all exported, numbered in their order.
 */
export function wasmModule(
  functions: readonly WasmFunction[],
  pages: number,
  data: Uint8Array,
): Uint8Array<ArrayBuffer> {
  const types = functions.map((fn) => [
    0x60,
    ...vector(Array.from({ length: fn.parameters }, () => [I32])),
    ...vector(fn.returnsI32 ? [[I32]] : []),
  ]);
  const exports = functions.map((fn, index) => [...text(fn.name), 0, ...unsigned(index)]);
  return Uint8Array.from([
    ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, vector(types)),
    ...section(3, vector(functions.map((_, index) => unsigned(index)))),
    ...section(5, vector([[0, ...unsigned(pages)]])),
    ...section(7, vector([[...text('memory'), 2, 0], ...exports])),
    ...section(10, vector(functions.map(functionBody))),
    ...section(11, vector([[0, ...i32.const(0), 0x0b, ...sized([...data])]])),
  ]);
}
