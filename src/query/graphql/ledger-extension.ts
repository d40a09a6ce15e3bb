import type { ResolvedAsOf } from '../as-of.js';
import type { Reader } from '../reader.js';

export interface ReadAt {
  position: string;
  tipHeight: number | null;
  tipHash: string | null;
}

/** `extensions.ledger`: what an answer was read at. `fields` only where its fields were read at several moments. */
export interface LedgerExtension extends ReadAt {
  fields?: Record<string, ReadAt>;
}

/** Of several moments, the one without asOf is the answer's own, else the first field's. Undefined where nothing was read. */
export async function ledgerExtension(reader: Reader): Promise<LedgerExtension | undefined> {
  const moments = [...reader.readAt];
  const first = moments[0]?.[1];
  if (first === undefined) return undefined;
  const distinct = new Set(moments.map(([, at]) => at));
  if (distinct.size === 1) return readAt(first);
  const base = await reader.base();
  return {
    ...readAt(distinct.has(base) ? base : first),
    fields: Object.fromEntries(moments.map(([name, at]) => [name, readAt(at)])),
  };
}

function readAt({ position, tip }: ResolvedAsOf): ReadAt {
  return { position: String(position), tipHeight: tip?.height ?? null, tipHash: tip?.hash ?? null };
}
