/** W3C Trace Context, level 1: version, trace id, parent id, flags. */
const TRACEPARENT = /^00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})$/;

/** A trace id and a parent id. */
export const TRACE_BYTES = 24;

export interface TraceContext {
  /** 32 hex digits. */
  traceId: string;
  /** As it came, or a fresh one. */
  traceparent: string;
}

/** The trace that a request belongs to: the caller's where it names a valid one, else a fresh one of `randomHex(48)`. */
export function readTraceContext(header: string | string[] | undefined, randomHex: () => string): TraceContext {
  const match = typeof header === 'string' ? TRACEPARENT.exec(header) : null;
  if (match?.[1] !== undefined) return { traceId: match[1], traceparent: match[0] };
  const random = randomHex();
  const traceId = random.slice(0, 32);
  return { traceId, traceparent: `00-${traceId}-${random.slice(32, 48)}-00` };
}
