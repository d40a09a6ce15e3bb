import { appendFileSync, existsSync, readFileSync } from 'node:fs';

/** Place of an event in `$all`. Events of one append share the commit position; the prepare position tells them apart. */
export interface LogPosition {
  commit: bigint;
  prepare: bigint;
}

export interface ProposedEvent {
  id: string;
  type: string;
  contentType: string;
  data: Uint8Array;
  metadata: Uint8Array;
}

export interface StoredEvent extends ProposedEvent, LogPosition {
  stream: string;
  revision: bigint;
  createdMs: number;
}

/** -1n: no stream. */
export type Expected = bigint | 'any' | 'stream-exists';

export type LogAppendResult =
  | { kind: 'success'; revision: bigint; position: LogPosition; idempotent: boolean }
  | { kind: 'wrong-expected'; actual: bigint }
  | { kind: 'too-large' };

/** `MaxAppendSize` of the server, by default. */
export const MAX_APPEND_SIZE = 1024 * 1024;
/** After so many appends the server itself writes something into the log, as it does with statistics and stream metadata. */
const SYSTEM_EVENT_EVERY = 5;
const LOG_HEADER_BYTES = 118;
const REMEMBERED_IDS = 100;

export interface StoredLog {
  append(stream: string, expected: Expected, events: readonly ProposedEvent[]): LogAppendResult;
  /** Undefined: no such stream. */
  stream(name: string): readonly StoredEvent[] | undefined;
  /** Everything, in order, system events too. */
  readonly all: readonly StoredEvent[];
  /** Called after each append with what was appended. */
  onAppended(listener: () => void): () => void;
}

/**
 * The log of the stand-in, with the rules of the real server: expected versions, idempotent appends (`IndexWriter.CheckCommit`),
 * positions that skip, system events in between.
 *
 * @param file where the log is kept, so that it outlives the server; none: in memory only
 */
export function createStoredLog(options: { now: () => number; file?: string }): StoredLog {
  const all: StoredEvent[] = [];
  const streams = new Map<string, StoredEvent[]>();
  const listeners = new Set<() => void>();
  let end = 0n;
  let appends = 0;

  function store(event: StoredEvent): void {
    all.push(event);
    const stream = streams.get(event.stream);
    if (stream) stream.push(event);
    else streams.set(event.stream, [event]);
    const after = event.commit + BigInt(LOG_HEADER_BYTES);
    if (after > end) end = after;
  }

  function write(stream: string, events: readonly ProposedEvent[]): StoredEvent[] {
    let revision = BigInt(streams.get(stream)?.length ?? 0);
    const prepares: bigint[] = [];
    for (const event of events) {
      prepares.push(end);
      end += BigInt(LOG_HEADER_BYTES + stream.length + event.data.length + event.metadata.length);
    }
    const first = prepares[0] ?? end;
    // One event: its prepare record commits itself. Several: a commit record follows them.
    const commit = events.length === 1 ? first : end;
    const stored = events.map((event, index): StoredEvent => ({
      ...event,
      stream,
      revision: revision++,
      commit,
      prepare: prepares[index] ?? first,
      createdMs: options.now(),
    }));
    if (options.file !== undefined && stored.length > 0) appendFileSync(options.file, stored.map(toLine).join(''));
    for (const event of stored) store(event);
    return stored;
  }

  if (options.file !== undefined && existsSync(options.file)) {
    for (const line of readFileSync(options.file, 'utf8').split('\n')) if (line !== '') store(fromLine(line));
  } else {
    write('$stats-127.0.0.1:2113', [systemEvent(appends)]);
  }

  return {
    all,
    stream: (name) => streams.get(name),
    append(stream, expected, events) {
      const size = events.reduce(
        (sum, { type, data, metadata }) => sum + data.length + metadata.length + type.length * 2,
        0,
      );
      if (size > MAX_APPEND_SIZE) return { kind: 'too-large' };
      const there = streams.get(stream) ?? [];
      const actual = BigInt(there.length) - 1n;
      const judged = judge(there, expected, events);
      if (judged === 'wrong') return { kind: 'wrong-expected', actual };
      if (judged !== 'new') return { kind: 'success', revision: judged.revision, position: judged, idempotent: true };
      const last = write(stream, events).at(-1);
      appends += 1;
      if (appends % SYSTEM_EVENT_EVERY === 0) write('$stats-127.0.0.1:2113', [systemEvent(appends)]);
      for (const listener of listeners) listener();
      return {
        kind: 'success',
        revision: last?.revision ?? actual,
        position: last ?? { commit: end, prepare: end },
        idempotent: false,
      };
    },
    onAppended(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

/** As the server's check of a commit: the same ids at the very places are the same append, part of them is a wrong version. */
function judge(
  there: readonly StoredEvent[],
  expected: Expected,
  events: readonly ProposedEvent[],
): 'new' | 'wrong' | StoredEvent {
  const actual = BigInt(there.length) - 1n;
  if (expected === 'any') {
    // The server remembers the newest ids only.
    const from = Math.max(0, there.length - REMEMBERED_IDS);
    const recent = there.slice(from).findIndex(({ id }) => id === events[0]?.id);
    const first = recent < 0 ? recent : from + recent;
    if (first < 0) return 'new';
    return sameIds(there, first, events) ?? 'wrong';
  }
  if (expected === 'stream-exists') return actual >= 0n ? 'new' : 'wrong';
  if (expected === actual) return 'new';
  if (expected > actual) return 'wrong';
  return sameIds(there, Number(expected) + 1, events) ?? 'wrong';
}

/** The last of the events where all of them stand at this place. */
function sameIds(
  there: readonly StoredEvent[],
  from: number,
  events: readonly ProposedEvent[],
): StoredEvent | undefined {
  return events.every(({ id }, index) => there[from + index]?.id === id) ? there[from + events.length - 1] : undefined;
}

function systemEvent(n: number): ProposedEvent {
  return {
    id: `00000000-0000-4000-8000-${n.toString(16).padStart(12, '0')}`,
    type: '$statsCollected',
    contentType: 'application/json',
    data: Buffer.from('{"proc-cpu":1}'),
    metadata: Buffer.alloc(0),
  };
}

export function comparePositions(a: LogPosition, b: LogPosition): number {
  if (a.commit !== b.commit) return a.commit < b.commit ? -1 : 1;
  return a.prepare < b.prepare ? -1 : a.prepare > b.prepare ? 1 : 0;
}

function toLine(event: StoredEvent): string {
  const { data, metadata, ...rest } = event;
  return `${JSON.stringify({ ...rest, data: Buffer.from(data).toString('base64'), metadata: Buffer.from(metadata).toString('base64') }, (_, value: unknown) => (typeof value === 'bigint' ? value.toString() : value))}\n`;
}

function fromLine(line: string): StoredEvent {
  const parsed = JSON.parse(line) as Record<'id' | 'type' | 'contentType' | 'stream', string> &
    Record<'revision' | 'commit' | 'prepare' | 'data' | 'metadata', string> & { createdMs: number };
  return {
    ...parsed,
    revision: BigInt(parsed.revision),
    commit: BigInt(parsed.commit),
    prepare: BigInt(parsed.prepare),
    data: Buffer.from(parsed.data, 'base64'),
    metadata: Buffer.from(parsed.metadata, 'base64'),
  };
}
