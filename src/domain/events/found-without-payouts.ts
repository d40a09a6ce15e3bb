import type { Found } from './chain-events.js';

interface OlderFound {
  received: readonly object[];
  spent: readonly object[];
}

/**
 * `TransfersFound` and `BlockConnected`, version 1 to 2: transfers say whose payment they belong to. There were no payments of ours
 * when version 1 was written.
 */
export function withoutPayouts(data: unknown): unknown {
  const older = data as { found: OlderFound };
  const ofNobody = (item: object): object => ({ ...item, payoutId: null });
  const found = {
    ...older.found,
    received: older.found.received.map(ofNobody),
    spent: older.found.spent.map(ofNobody),
  };
  return { ...older, found: found as unknown as Found };
}
