/** W3C Trace Context, level 1: version, trace id, parent id, flags. */
const TRACEPARENT = /^00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})$/;

/** The flag of a trace that is recorded. */
export const SAMPLED = 1;

/** A trace id and a parent id. */
export const TRACE_BYTES = 24;

export interface TraceContext {
  /** 32 hex digits. */
  traceId: string;
  /** As it came, or a fresh one. */
  traceparent: string;
}

/** What a `traceparent` says. */
export interface TraceParent {
  /** 32 hex digits. */
  traceId: string;
  /** 16 hex digits. */
  spanId: string;
  flags: number;
}

/** Undefined where the text is none, or not a valid one. */
export function parseTraceparent(text: string | undefined): TraceParent | undefined {
  const match = text === undefined ? null : TRACEPARENT.exec(text);
  if (match?.[1] === undefined || match[2] === undefined || match[3] === undefined) return undefined;
  return { traceId: match[1], spanId: match[2], flags: Number.parseInt(match[3], 16) };
}

export function renderTraceparent({ traceId, spanId, flags }: TraceParent): string {
  return `00-${traceId}-${spanId}-${flags.toString(16).padStart(2, '0')}`;
}

/** Whether the trace is one that is recorded. */
export function isSampled(text: string | undefined): text is string {
  const parsed = parseTraceparent(text);
  return parsed !== undefined && (parsed.flags & SAMPLED) === SAMPLED;
}

/** The trace that a request belongs to: the caller's where it names a valid one, else a fresh one of `randomHex(48)`. */
export function readTraceContext(header: string | string[] | undefined, randomHex: () => string): TraceContext {
  const match = typeof header === 'string' ? TRACEPARENT.exec(header) : null;
  if (match?.[1] !== undefined) return { traceId: match[1], traceparent: match[0] };
  const random = randomHex();
  const traceId = random.slice(0, 32);
  return { traceId, traceparent: `00-${traceId}-${random.slice(32, 48)}-00` };
}
