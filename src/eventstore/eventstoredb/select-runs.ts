import { mustFail } from '../append-chains.js';
import { MAX_RUN_BYTES } from './esdb-limits.js';
import { MAX_RUN_EVENTS } from './slots.js';
import type { WaitingAppend } from './waiting-append.js';

export interface Selected {
  /** Appends of one stream, each building on the one before: sent as one. */
  runs: WaitingAppend[][];
  rejections: WaitingAppend[];
  /** Built on what has failed. */
  doomed: WaitingAppend[];
}

/**
 * Takes from the queue what can be worked on now: of each stream that is free the appends at its front that build on one another, and
 * rejections. Each key once.
 */
export function selectRuns(
  queue: WaitingAppend[],
  busy: { streams: ReadonlySet<string>; keys: ReadonlySet<string> },
  options: { maxAppends: number; nowMs: number },
): Selected {
  const runs = new Map<string, { items: WaitingAppend[]; events: number; bytes: number }>();
  const blocked = new Set(busy.streams);
  const keys = new Set(busy.keys);
  const selected: Selected = { runs: [], rejections: [], doomed: [] };
  const left: WaitingAppend[] = [];
  let count = 0;

  function take(item: WaitingAppend): boolean {
    const { append, link } = item;
    const key = append.idempotency?.key;
    if (link !== undefined && blocked.has(append.stream)) return false;
    if (link !== undefined && mustFail(link)) {
      selected.doomed.push(item);
      return true;
    }
    if (count >= options.maxAppends || item.notBeforeMs > options.nowMs || (key !== undefined && keys.has(key)))
      return false;
    if (link === undefined) {
      selected.rejections.push(item);
    } else {
      const run = runs.get(append.stream);
      const bytes = append.bytes;
      if (run === undefined) {
        if (link.after?.state === 'waiting') return false;
        runs.set(append.stream, { items: [item], events: append.events.length, bytes });
      } else {
        const isNext = link.after !== undefined && link.after === run.items.at(-1)?.link;
        const fits = run.events + append.events.length <= MAX_RUN_EVENTS && run.bytes + bytes <= MAX_RUN_BYTES;
        if (!isNext || !fits) return false;
        run.items.push(item);
        run.events += append.events.length;
        run.bytes += bytes;
      }
    }
    if (key !== undefined) keys.add(key);
    count += 1;
    return true;
  }

  for (const item of queue) {
    if (take(item)) continue;
    left.push(item);
    // What stands behind it on the same stream must not overtake it.
    if (item.link !== undefined) blocked.add(item.append.stream);
  }
  queue.splice(0, queue.length, ...left);
  selected.runs = [...runs.values()].map(({ items }) => items);
  return selected;
}
