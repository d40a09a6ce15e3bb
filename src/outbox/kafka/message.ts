import type { KafkaMessage } from 'kafkajs';
import type { Upcaster } from '../../domain/events/upcast.js';
import { LEDGER_PATTERN } from '../../domain/primitives.js';
import type { EventMetadata, RecordedEvent } from '../../eventstore/event-store.js';

/** A message that is not a row of the outbox as the connector writes it. Whatever it was: the row itself is in the outbox. */
export class BadMessageError extends Error {
  override readonly name = 'BadMessageError';
  constructor(
    /** What is wrong, never the content. */
    readonly reason: string,
    readonly offset: string,
    options?: ErrorOptions,
  ) {
    super(`message at offset ${offset}: ${reason}`, options);
  }
}

/** A row of the outbox in a message: where it belongs is read at once, the rest when it is wanted. */
export interface OutboxMessage {
  ledger: string;
  position: bigint;
  /** Of value and metadata: what it costs in memory. */
  bytes: number;
  message: KafkaMessage;
}

const POSITION = /^[1-9]\d{0,17}$/;
const REVISION = /^(0|[1-9]\d{0,17})$/;
const VERSION = /^[1-9]\d{0,8}$/;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
/** As Debezium writes a `timestamptz`: no fraction where it is zero. */
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z$/;

/** @throws BadMessageError */
export function readMessage(message: KafkaMessage): OutboxMessage {
  const ledger = header(message, 'ledger', LEDGER_PATTERN);
  if (message.key?.toString('utf8') !== ledger) throw bad(message, 'its key is not its ledger');
  if (message.value === null) throw bad(message, 'it has no value');
  const metadata = message.headers?.['metadata'];
  return {
    ledger,
    position: BigInt(header(message, 'position', POSITION)),
    bytes: message.value.length + (Buffer.isBuffer(metadata) ? metadata.length : 0),
    message,
  };
}

/**
 * The event of a message, as the outbox would answer it.
 *
 * @throws BadMessageError
 * @throws UnknownEventVersionError for an event that a newer program wrote
 */
export function toEvent({ message, position }: OutboxMessage, upcaster: Upcaster): RecordedEvent {
  const type = header(message, 'type');
  const schemaVersion = Number(header(message, 'schemaVersion', VERSION));
  const metadata = readMetadata(message);
  return {
    position,
    id: header(message, 'id', UUID),
    stream: header(message, 'stream'),
    revision: BigInt(header(message, 'revision', REVISION)),
    type,
    schemaVersion: upcaster.currentVersion(type) ?? schemaVersion,
    data: upcaster.upcast(type, schemaVersion, parse(message, 'value', message.value?.toString('utf8') ?? '')),
    metadata,
    recordedAt: new Date(header(message, 'recordedAt', TIME)),
  };
}

function readMetadata(message: KafkaMessage): EventMetadata {
  const metadata = parse(message, 'metadata', header(message, 'metadata'));
  if (typeof metadata !== 'object' || metadata === null || Array.isArray(metadata)) {
    throw bad(message, 'header metadata is not an object');
  }
  const known = metadata as EventMetadata;
  if (optionalHeader(message, 'traceparent') !== known.traceparent) {
    throw bad(message, 'header traceparent is not that of the metadata');
  }
  return known;
}

function parse(message: KafkaMessage, what: string, text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (cause) {
    throw bad(message, `${what} is not JSON`, { cause });
  }
}

function header(message: KafkaMessage, name: string, pattern?: RegExp): string {
  const text = optionalHeader(message, name);
  if (text === undefined || text === '') throw bad(message, `header ${name} is missing`);
  if (pattern !== undefined && !pattern.test(text))
    throw bad(message, `header ${name} does not match ${pattern.source}`);
  return text;
}

/** A column that is null is a header without a value. */
function optionalHeader(message: KafkaMessage, name: string): string | undefined {
  const value: Buffer | string | (Buffer | string)[] | null | undefined = message.headers?.[name];
  if (value === undefined || value === null) return undefined;
  if (Array.isArray(value)) throw bad(message, `header ${name} is there more than once`);
  return value.toString('utf8');
}

function bad(message: KafkaMessage, reason: string, options?: ErrorOptions): BadMessageError {
  return new BadMessageError(reason, message.offset, options);
}
