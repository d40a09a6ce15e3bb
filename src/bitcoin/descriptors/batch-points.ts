/**
 * Points of secp256k1, many at a time, for deriving public keys (SEC 2, 2.4.1). Public data only: nothing here runs in constant
 * time. One addition in affine coordinates costs a modular inverse, which is what makes it slow; the inverses of a whole batch
 * cost one, and three multiplications each (Montgomery's trick). With a table of the multiples of G a key takes a seventh of the
 * time of the library, which adds points one by one (measured: 0.33 ms and 2.2 ms on a busy machine).
 */
export const FIELD_ORDER = 0xffff_ffff_ffff_ffff_ffff_ffff_ffff_ffff_ffff_ffff_ffff_ffff_ffff_fffe_ffff_fc2fn;
const G: Point = {
  x: 0x79be_667e_f9dc_bbac_55a0_6295_ce87_0b07_029b_fcdb_2dce_28d9_59f2_815b_16f8_1798n,
  y: 0x483a_da77_26a3_c465_5da4_fbfc_0e11_08a8_fd17_b448_a685_5419_9c47_d08f_fb10_d4b8n,
};

/** In affine coordinates. */
export interface Point {
  x: bigint;
  y: bigint;
}

/** Scalars are taken in bytes: 32 windows of 8 bits. */
const WINDOWS = 32;
const WINDOW_SIZE = 256;

let table: readonly (readonly Point[])[] | undefined;

/**
 * `points[n] + scalars[n]·G` for each n. Undefined where the sum cannot be had this way (two points with the same x meet on the way,
 * with a probability of about 2^-250): the caller takes a library then.
 *
 * @param scalars 32 bytes each, big-endian, below the order of the group
 */
export function addMultiplesOfG(points: readonly Point[], scalars: readonly Uint8Array[]): (Point | undefined)[] {
  const multiples = (table ??= multiplesOfG());
  let sums: (Point | undefined)[] = [...points];
  for (let window = 0; window < WINDOWS; window++) {
    const row = multiples[window] ?? [];
    const addends = scalars.map((scalar) => row[scalar[WINDOWS - 1 - window] ?? 0]);
    sums = addPairwise(sums, addends);
  }
  return sums;
}

/** `row[d]` of window w is d·2^(8w)·G; `row[0]`, the point at infinity, is left empty. 8,160 points, about 2 MB, 60 ms once. */
function multiplesOfG(): Point[][] {
  const rows: Point[][] = [];
  let base = G;
  for (let window = 0; window < WINDOWS; window++) {
    const row: Point[] = [];
    row[1] = base;
    row[2] = double(base);
    // d·B = (d/2)·B + (d − d/2)·B, a doubling of the row at a time, so that one inverse serves many.
    for (let have = 2; have < WINDOW_SIZE; have *= 2) {
      const top = row[have];
      const rest = row.slice(1, have);
      if (top === undefined) throw new RangeError('the table is built in order');
      const next = addPairwise(
        rest.map(() => top),
        rest,
      );
      next.forEach((point, n) => {
        if (point !== undefined) row[have + 1 + n] = point;
      });
      row[2 * have] = double(top);
    }
    const last = row[WINDOW_SIZE];
    if (last === undefined) throw new RangeError('the table is built in order');
    base = last;
    rows.push(row.slice(0, WINDOW_SIZE));
  }
  return rows;
}

/** `points[n] + addends[n]`; a missing addend adds nothing, a missing point stays missing. */
function addPairwise(
  points: readonly (Point | undefined)[],
  addends: readonly (Point | undefined)[],
): (Point | undefined)[] {
  const differences = points.map((point, n) => {
    const addend = addends[n];
    return point === undefined || addend === undefined ? 1n : mod(addend.x - point.x);
  });
  const inverses = invertAll(differences);
  return points.map((point, n) => {
    const addend = addends[n];
    if (point === undefined || addend === undefined) return point;
    if (differences[n] === 0n) return undefined;
    const slope = mod((addend.y - point.y) * (inverses[n] ?? 0n));
    const x = mod(slope * slope - point.x - addend.x);
    return { x, y: mod(slope * (point.x - x) - point.y) };
  });
}

function double({ x, y }: Point): Point {
  const slope = mod(3n * x * x * invert(2n * y));
  const doubled = mod(slope * slope - 2n * x);
  return { x: doubled, y: mod(slope * (x - doubled) - y) };
}

/** Inverses of all; of 0, which has none, something. */
function invertAll(values: readonly bigint[]): bigint[] {
  const before: bigint[] = [];
  let product = 1n;
  for (const value of values) {
    before.push(product);
    if (value !== 0n) product = mod(product * value);
  }
  let inverse = invert(product);
  const inverses = new Array<bigint>(values.length);
  for (let n = values.length - 1; n >= 0; n--) {
    const value = values[n] ?? 0n;
    inverses[n] = mod(inverse * (before[n] ?? 1n));
    if (value !== 0n) inverse = mod(inverse * value);
  }
  return inverses;
}

/** Extended Euclid. */
function invert(value: bigint): bigint {
  let [low, high] = [mod(value), FIELD_ORDER];
  let [factor, previous] = [1n, 0n];
  while (low > 1n) {
    const quotient = high / low;
    [low, high] = [high - quotient * low, low];
    [factor, previous] = [previous - quotient * factor, factor];
  }
  return mod(factor);
}

function mod(value: bigint): bigint {
  const rest = value % FIELD_ORDER;
  return rest < 0n ? rest + FIELD_ORDER : rest;
}
