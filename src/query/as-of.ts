import { LRUCache } from 'lru-cache';
import type { Outbox } from '../outbox/outbox.js';
import { HEIGHT_BEFORE_CHAIN } from '../projections/projection.js';
import { badUserInput, ledgerBehind } from './errors.js';
import { READ_WAIT_MS } from './limits.js';
import type { ReadModels } from './ports.js';
import type { ReadDatabase } from './sql/database.js';
import { readClock, readHeight, readLastConnection, readTip } from './sql/read-chain.js';

/** As a client asks: what we knew, and what was true on the chain. Each alone, or one of each. */
export interface AsOf {
  position?: bigint | null;
  time?: Date | null;
  height?: number | null;
  blockHash?: string | null;
}

/** One moment on both axes. Everything in an answer, down to the last nested field, is read at one of these. */
export interface ResolvedAsOf {
  /** What we knew: the state after this event. 0n: before the first one. */
  position: bigint;
  /**
   * Where facts of the chain are read: `position`, except on an abandoned branch, whose facts are those of the last position
   * at which its block was connected.
   */
  chainPosition: bigint;
  /** The height that was asked for; null: no cut, the state as it stood. */
  height: number | null;
  /** The tip as of the moment. */
  tip: { height: number; hash: string } | null;
  /**
   * Heights up to this one count: `height`, or the greatest that the tip ever had (after a reorg, facts of the books stand above
   * the tip). At the newest position any height: nothing stands higher, and no later rows lie before those that count.
   */
  ceiling: number;
  /** No fact of the chain that counts was first seen after this position. Not a condition, but where an index can begin. */
  chainBound: bigint;
  /** No fact of the books that counts was recorded after this position; as above. */
  bookBound: bigint;
}

export interface AsOfDeps {
  database: ReadDatabase;
  outbox: Outbox;
  readModels: ReadModels;
}

/** Moments kept, which never change: the newest is asked for again and again. */
const CACHED_MOMENTS = 1_000;

/** The greatest `integer` of PostgreSQL. */
const ANY_HEIGHT = 2_147_483_647;

/** Resolution of `recorded_at`. */
const CLOCK_STEP_MS = 1;

export type ResolveAsOf = (asOf: AsOf | null | undefined, models: readonly string[]) => Promise<ResolvedAsOf>;

/**
 * Resolves what a client asks for into a moment that `models` have reached.
 *
 * Throws ReadError:
 * - BAD_USER_INPUT, naming the argument, for a position, time, height or hash that is not known or lies in the future, and for
 *   two of one axis: never a nearest match
 * - LEDGER_BEHIND where the log has the position and the models have not reached it within two seconds
 */
export function createAsOf(deps: AsOfDeps): ResolveAsOf {
  const moments = new LRUCache<bigint, ResolvedAsOf>({ max: CACHED_MOMENTS });
  return async (asOf, models) => {
    refuseTwoOfOneAxis(asOf);
    const position = await resolvePosition(deps, asOf, models);
    if (isGiven(asOf?.height)) return atHeight(deps, position, asOf.height);
    if (isGiven(asOf?.blockHash)) return atBlock(deps, position, asOf.blockHash);
    // Asked of the newest position, as nearly every question is: a round trip less, one of two.
    const tip = isGiven(asOf?.position) || isGiven(asOf?.time) ? undefined : deps.readModels.tipAt(position);
    if (tip !== undefined) return wholeChain(position, tip, ANY_HEIGHT);
    let whole = moments.get(position);
    if (whole === undefined) {
      const found = await readTip(deps.database, position);
      const at = found === undefined ? null : { height: found.height, hash: found.hash };
      whole = wholeChain(position, at, found?.highest ?? HEIGHT_BEFORE_CHAIN);
      moments.set(position, whole);
    }
    return whole;
  };
}

function isGiven<T>(value: T | null | undefined): value is T {
  return value !== null && value !== undefined;
}

function refuseTwoOfOneAxis(asOf: AsOf | null | undefined): void {
  if (isGiven(asOf?.position) && isGiven(asOf.time)) {
    throw badUserInput('asOf', 'position and time both say what was known: give one of them');
  }
  if (isGiven(asOf?.height) && isGiven(asOf.blockHash)) {
    throw badUserInput('asOf', 'height and blockHash both say what was true on the chain: give one of them');
  }
}

async function resolvePosition(
  deps: AsOfDeps,
  asOf: AsOf | null | undefined,
  models: readonly string[],
): Promise<bigint> {
  const { outbox, readModels } = deps;
  if (isGiven(asOf?.position)) {
    if ((await readModels.reached(models)) >= asOf.position) return asOf.position;
    const head = await outbox.head();
    if (asOf.position > head) {
      throw badUserInput('asOf.position', `${asOf.position} lies in the future: the ledger is at position ${head}`);
    }
    return waitUntil(readModels, asOf.position, models);
  }
  if (isGiven(asOf?.time)) return waitUntil(readModels, await positionAt(deps, asOf.time), models);
  const reached = await readModels.reached(models);
  // 0 is the truth only of an empty ledger; elsewhere a model is being built, and has nothing to say yet.
  if (reached > 0n || (await outbox.head()) === 0n) return reached;
  await waitUntil(readModels, 1n, models);
  return readModels.reached(models);
}

async function waitUntil(readModels: ReadModels, position: bigint, models: readonly string[]): Promise<bigint> {
  const reached = await readModels.waitFor(position, models, READ_WAIT_MS);
  if (reached < position) throw ledgerBehind(position, reached);
  return position;
}

async function positionAt({ database, outbox }: AsOfDeps, time: Date): Promise<bigint> {
  const now = await readClock(database);
  if (time > now) {
    throw badUserInput('asOf.time', `${time.toISOString()} lies in the future: it is ${now.toISOString()}`);
  }
  // Within its own millisecond an event may still be recorded at that very time.
  if (now.getTime() - time.getTime() <= CLOCK_STEP_MS) {
    await new Promise((resolve) => setTimeout(resolve, CLOCK_STEP_MS + 1));
  }
  return outbox.positionAt(time);
}

function wholeChain(position: bigint, tip: ResolvedAsOf['tip'], ceiling: number): ResolvedAsOf {
  return {
    position,
    chainPosition: position,
    height: null,
    tip,
    ceiling,
    chainBound: position,
    bookBound: position,
  };
}

async function atHeight({ database }: AsOfDeps, position: bigint, height: number): Promise<ResolvedAsOf> {
  const found = await readHeight(database, position, height);
  if (found === undefined) {
    throw badUserInput('asOf.height', `${height} is not known: there was no chain at position ${position}`);
  }
  const { tipHeight, hash, from, above } = found;
  if (height > tipHeight) {
    const message = `${height} lies in the future: at position ${position} the tip is at height ${tipHeight}`;
    throw badUserInput('asOf.height', message);
  }
  if (hash === null || from === null) {
    throw badUserInput('asOf.height', `${height} is not known: it is below the first block of this ledger`);
  }
  return cut(position, position, { height, hash, from, above });
}

async function atBlock({ database }: AsOfDeps, position: bigint, hash: string): Promise<ResolvedAsOf> {
  const block = await readLastConnection(database, position, hash);
  if (block === undefined) {
    throw badUserInput('asOf.blockHash', `${hash} is not known: no such block was connected by position ${position}`);
  }
  // Of an abandoned branch: the last position at which the block was connected. The tip was it, or above it.
  const chainPosition = block.to > position ? position : block.to - 1n;
  return cut(position, chainPosition, { ...block, hash });
}

/**
 * While a block stays connected, no block at or below its height can be connected: what the chain brought up to `block` was
 * seen by `block.from`. And since `above` (the block on top of the height, as of the position) was connected, the tip has been
 * higher: what the books recorded since counts from higher up.
 */
function cut(
  position: bigint,
  chainPosition: bigint,
  block: { height: number; hash: string; from: bigint; above: bigint | null },
): ResolvedAsOf {
  const { height, hash, from, above } = block;
  return {
    position,
    chainPosition,
    height,
    tip: { height, hash },
    ceiling: height,
    chainBound: from,
    bookBound: above === null ? position : above - 1n,
  };
}
