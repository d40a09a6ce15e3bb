import type { EventMetadata } from '../event-store.js';

/**
 * What an event carries in EventStoreDB beside its own metadata, as the member `tallystick` of it: all that the outbox has columns
 * for and EventStoreDB has not.
 */
export interface StoredMetadata {
  /** Revision in the ledger's stream. EventStoreDB's own is higher by the number of fences before it. */
  revision: bigint;
  schemaVersion: number;
  /** Made anew for each append that is sent: tells an append from another one with the same event ids. */
  append: string;
  /** Events of the same append that follow: they come into the outbox together. */
  more: number;
  /** Idempotency key of the command, in each of its events. */
  key: string | undefined;
  /** In the last event of a command: what it answered, as JSON text. */
  outcome: { requestHash: string; outcomeJson: string } | undefined;
  /** Of an imported event: when it was recorded first, in milliseconds. */
  recordedAtMs: number | undefined;
}

export interface DecodedMetadata extends StoredMetadata {
  metadata: EventMetadata;
  metadataJson: string;
}

/** Type of the event that closes a place in a stream, so that nothing sent earlier can come to be there. It is no event of the ledger. */
export const FENCE_TYPE = 'tallystick-fence';

/** Metadata as bytes: the event's own members, which other readers may use, and ours under one name. */
export function encodeMetadata(metadataJson: string, stored: StoredMetadata): Buffer {
  const { revision, schemaVersion, append, more, key, outcome, recordedAtMs } = stored;
  let ours = `{"revision":"${revision}","schemaVersion":${schemaVersion},"append":"${append}"`;
  if (more > 0) ours += `,"more":${more}`;
  if (key !== undefined) ours += `,"key":${JSON.stringify(key)}`;
  if (outcome !== undefined) ours += `,"requestHash":"${outcome.requestHash}","outcome":${outcome.outcomeJson}`;
  if (recordedAtMs !== undefined) ours += `,"recordedAt":${recordedAtMs}`;
  ours += '}';
  const rest = metadataJson === '{}' ? '}' : `,${metadataJson.slice(1)}`;
  return Buffer.from(`{"tallystick":${ours}${rest}`, 'utf8');
}

const REVISION = /^(-1|\d{1,18})$/;
const HASH = /^[0-9a-f]{64}$/;

/** By hand: a schema library took a third of the relay's time. @throws Error for what this program has not written */
export function decodeMetadata(bytes: Uint8Array): DecodedMetadata {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
  const { tallystick: stored, ...metadata } = JSON.parse(text) as { tallystick?: unknown };
  if (typeof stored !== 'object' || stored === null) throw new Error("it has no member 'tallystick'");
  const { revision, schemaVersion, append, more, key, requestHash, outcome, recordedAt } = stored as Record<
    string,
    unknown
  >;
  check(typeof revision === 'string' && REVISION.test(revision), 'revision');
  check(isCount(schemaVersion) && schemaVersion >= 1, 'schemaVersion');
  check(typeof append === 'string', 'append');
  check(more === undefined || isCount(more), 'more');
  check(key === undefined || typeof key === 'string', 'key');
  check(requestHash === undefined || (typeof requestHash === 'string' && HASH.test(requestHash)), 'requestHash');
  check(recordedAt === undefined || isCount(recordedAt), 'recordedAt');
  return {
    revision: BigInt(revision),
    schemaVersion,
    append,
    more: more ?? 0,
    key,
    outcome: requestHash === undefined ? undefined : { requestHash, outcomeJson: JSON.stringify(outcome) ?? 'null' },
    recordedAtMs: recordedAt,
    metadata: metadata,
    metadataJson: JSON.stringify(metadata),
  };
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

function check(condition: boolean, member: string): asserts condition {
  if (!condition) throw new Error(`member '${member}' of 'tallystick' is not as this program writes it`);
}
