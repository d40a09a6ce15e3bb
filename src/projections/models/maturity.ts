import { invariant } from '../../platform/assert.js';
import type { DepositPolicy, ProjectedEvent } from '../projection.js';
import { rowTable } from '../tables/table-definition.js';
import type { RowTableDefinition } from '../tables/table-definition.js';
import type { RowTable } from '../tables/row-table.js';
import { keyText } from '../tables/row-table.js';

/**
 * What matures when. Confirmations are computed, never counted: an amount from block h with need n matures at height h + n - 1.
 *
 * `due_height` follows the policy in force whenever an amount is (or becomes) pending: when its block connects, when a policy is
 * recorded at tip t (then no earlier than t), and when a disconnect down to tip t makes it pending again (no earlier than t). What
 * has matured stays matured as long as the block of its due height stays. Rows stay after they matured: a reorg asks again.
 */
export interface ScheduleRow {
  due_height: number;
  /** The account, or the wallet. */
  owner_id: string;
  /** Height of the block that brought it. */
  origin_height: number;
  coinbase: boolean;
  amount_sats: bigint;
}

export function scheduleTable(name: string): RowTableDefinition<ScheduleRow> {
  return rowTable<ScheduleRow>({
    name,
    columns: {
      due_height: { type: 'int' },
      owner_id: { type: 'text', plain: true },
      origin_height: { type: 'int' },
      coinbase: { type: 'boolean' },
      amount_sats: { type: 'bigint' },
    },
    key: ['due_height', 'owner_id', 'origin_height', 'coinbase'],
    group: 'due_height',
  });
}

/** Confirmations that an amount needs. */
export type Need = (coinbase: boolean) => number;

/** What one block brings to one owner. */
export interface Incoming {
  owner: string;
  coinbase: boolean;
  amountSats: bigint;
}

/** Amounts by owner, in the order of first mention. */
export type Amounts = Map<string, bigint>;

export function addTo(amounts: Amounts, owner: string, amountSats: bigint): void {
  amounts.set(owner, (amounts.get(owner) ?? 0n) + amountSats);
}

export function policyOf(event: ProjectedEvent): DepositPolicy {
  invariant(event.policy !== null, `event ${event.position} needs a deposit policy, and none was recorded before it`);
  return event.policy;
}

/**
 * A block connected at `height`.
 * @returns what matures with it
 */
export function scheduleBlock(
  schedule: RowTable<ScheduleRow>,
  height: number,
  incoming: readonly Incoming[],
  need: Need,
): Amounts {
  for (const { owner, coinbase, amountSats } of summed(incoming)) {
    schedule.put({
      due_height: height + need(coinbase) - 1,
      owner_id: owner,
      origin_height: height,
      coinbase,
      amount_sats: amountSats,
    });
  }
  return amountsDue(schedule, height);
}

/**
 * The block at `height` was disconnected: what it brought is gone, what matured with it is pending again, unless the policy of
 * today says that it is mature at the new tip.
 *
 * @returns `touched`: owners whose sums at `height` are void; `matured`: what counts as mature at `height - 1`
 */
export function unscheduleBlock(
  schedule: RowTable<ScheduleRow>,
  height: number,
  incoming: readonly Incoming[],
  need: Need,
): { touched: Set<string>; matured: Amounts } {
  const touched = new Set([...incoming.map(({ owner }) => owner), ...amountsDue(schedule, height).keys()]);
  for (const { owner, coinbase } of summed(incoming)) {
    const due = [height, height + need(coinbase) - 1].find(
      (candidate) => schedule.get(scheduleKey(candidate, owner, height, coinbase)) !== undefined,
    );
    invariant(due !== undefined, `nothing is scheduled for ${owner} from block ${height}`);
    schedule.remove(scheduleKey(due, owner, height, coinbase));
  }
  const matured = move(schedule, schedule.group(height), height - 1, need);
  return { touched, matured };
}

/**
 * Another policy at tip `tipHeight`: holds for everything that is pending.
 * @returns what matures at once
 */
export function reschedule(schedule: RowTable<ScheduleRow>, tipHeight: number, need: Need): Amounts {
  return move(schedule, schedule.fromGroup(tipHeight + 1), tipHeight, need);
}

function move(schedule: RowTable<ScheduleRow>, rows: readonly ScheduleRow[], tipHeight: number, need: Need): Amounts {
  const matured: Amounts = new Map();
  for (const row of rows) {
    const due = Math.max(tipHeight, row.origin_height + need(row.coinbase) - 1);
    if (due !== row.due_height) {
      schedule.remove(scheduleKey(row.due_height, row.owner_id, row.origin_height, row.coinbase));
      schedule.put({ ...row, due_height: due });
    }
    if (due === tipHeight) addTo(matured, row.owner_id, row.amount_sats);
  }
  return matured;
}

/**
 * Brings in everything that is due at or above the least height that a batch touches, less one (a disconnect ends there).
 * @returns the owners whose sums may change
 */
export async function loadSchedule(
  schedule: RowTable<ScheduleRow>,
  events: readonly ProjectedEvent[],
): Promise<Set<string>> {
  const least = leastHeight(events);
  if (least === undefined) return new Set();
  await schedule.loadFromGroup(least - 1);
  const policyMoves = events.some(({ type }) => type === 'DepositPolicySet' || type === 'BlockDisconnected');
  const greatest = policyMoves ? Infinity : greatestHeight(events);
  const rows = schedule.isComplete ? [] : schedule.fromGroup(least - 1);
  return new Set(rows.filter(({ due_height: due }) => due <= greatest).map(({ owner_id: owner }) => owner));
}

/** The least height that chain events of a batch touch; undefined where it has none. */
export function leastHeight(events: readonly ProjectedEvent[]): number | undefined {
  let least: number | undefined;
  for (const event of events) {
    const height = event.block?.height ?? (event.type === 'DepositPolicySet' ? event.tip?.height : undefined);
    if (height !== undefined && (least === undefined || height < least)) least = height;
  }
  return least;
}

function greatestHeight(events: readonly ProjectedEvent[]): number {
  return events.reduce((greatest, { block }) => Math.max(greatest, block?.height ?? 0), 0);
}

function amountsDue(schedule: RowTable<ScheduleRow>, height: number): Amounts {
  const amounts: Amounts = new Map();
  for (const { owner_id: owner, amount_sats: amount } of schedule.group(height)) addTo(amounts, owner, amount);
  return amounts;
}

function summed(incoming: readonly Incoming[]): Incoming[] {
  const sums = new Map<string, Incoming>();
  for (const item of incoming) {
    const key = keyText(item.owner, item.coinbase);
    const sum = sums.get(key);
    sums.set(key, sum === undefined ? item : { ...item, amountSats: sum.amountSats + item.amountSats });
  }
  return [...sums.values()];
}

function scheduleKey(due: number, owner: string, origin: number, coinbase: boolean): string {
  return keyText(due, owner, origin, coinbase);
}
