import { badUserInput } from './errors.js';
import { DEFAULT_PAGE, MAX_PAGE } from './limits.js';

/** Relay's arguments for going through a list. */
export interface PageArgs {
  first?: number | null;
  after?: string | null;
}

/** Relay connection (GraphQL Cursor Connections Specification), forwards only. */
export interface Connection<T> {
  edges: { cursor: string; node: T }[];
  pageInfo: { hasNextPage: boolean; hasPreviousPage: boolean; startCursor: string | null; endCursor: string | null };
}

/** @throws ReadError BAD_USER_INPUT unless 1 to 500 */
export function pageSize(first: number | null | undefined): number {
  if (first === null || first === undefined) return DEFAULT_PAGE;
  if (!Number.isInteger(first) || first < 1 || first > MAX_PAGE) {
    throw badUserInput('first', `must be 1 to ${MAX_PAGE}`);
  }
  return first;
}

/** @param rows one more than the page where there are more */
export function toConnection<R, T>(
  rows: readonly R[],
  page: { size: number; hasPrevious: boolean },
  cursorOf: (row: R) => string,
  nodeOf: (row: R) => T,
): Connection<T> {
  const edges = rows.slice(0, page.size).map((row) => ({ cursor: cursorOf(row), node: nodeOf(row) }));
  return {
    edges,
    pageInfo: {
      hasNextPage: rows.length > page.size,
      hasPreviousPage: page.hasPrevious,
      startCursor: edges[0]?.cursor ?? null,
      endCursor: edges.at(-1)?.cursor ?? null,
    },
  };
}
