import { z } from 'zod';
import { FatalError } from '../../platform/errors.js';

/** One line of an exported log: an event as it is stored, with the outcome of its command where it is the command's last. */
export interface EventLine {
  kind: 'event';
  position: bigint;
  id: string;
  stream: string;
  revision: bigint;
  type: string;
  schemaVersion: number;
  dataJson: string;
  metadataJson: string;
  recordedAt: Date;
  outcome: { key: string; requestHash: string; outcomeJson: string } | undefined;
}

/** A command that was refused: it has an outcome and no event. */
export interface RejectionLine {
  kind: 'rejection';
  key: string;
  requestHash: string;
  outcomeJson: string;
  recordedAt: Date;
}

export type LogLine = EventLine | RejectionLine;

const number = z
  .string()
  .regex(/^\d{1,18}$/)
  .transform(BigInt);
const hash = z.string().regex(/^[0-9a-f]{64}$/);
const time = z.iso.datetime().transform((text) => new Date(text));

const eventSchema = z.object({
  position: number,
  id: z.string().regex(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/),
  stream: z.string().min(1),
  revision: number,
  type: z.string().min(1),
  schemaVersion: z.number().int().min(1),
  data: z.unknown(),
  metadata: z.record(z.string(), z.unknown()),
  recordedAt: time,
  command: z.object({ key: z.string(), requestHash: hash, outcome: z.unknown() }).optional(),
});

const rejectionSchema = z.object({
  rejection: z.object({ key: z.string(), requestHash: hash, outcome: z.unknown(), recordedAt: time }),
});

/** @throws FatalError naming the line */
export function parseLogLine(text: string, lineNumber: number): LogLine {
  try {
    const json: unknown = JSON.parse(text);
    if (typeof json === 'object' && json !== null && 'rejection' in json) {
      const { key, requestHash, outcome, recordedAt } = rejectionSchema.parse(json).rejection;
      return { kind: 'rejection', key, requestHash, outcomeJson: JSON.stringify(outcome ?? null), recordedAt };
    }
    const { data, metadata, command, ...event } = eventSchema.parse(json);
    return {
      kind: 'event',
      ...event,
      dataJson: JSON.stringify(data ?? null),
      metadataJson: JSON.stringify(metadata),
      outcome: command && {
        key: command.key,
        requestHash: command.requestHash,
        outcomeJson: JSON.stringify(command.outcome ?? null),
      },
    };
  } catch (cause) {
    const problem = cause instanceof Error ? cause.message.slice(0, 200) : String(cause);
    throw new FatalError(`line ${lineNumber} is not one of an exported log: ${problem}`, {}, { cause });
  }
}

export function formatLogLine(line: LogLine): string {
  const json = JSON.stringify;
  if (line.kind === 'rejection') {
    const { key, requestHash, outcomeJson, recordedAt } = line;
    return `{"rejection":{"key":${json(key)},"requestHash":"${requestHash}","outcome":${outcomeJson},"recordedAt":${json(recordedAt)}}}`;
  }
  const { position, id, stream, revision, type, schemaVersion, dataJson, metadataJson, recordedAt, outcome } = line;
  const command =
    outcome === undefined
      ? ''
      : `,"command":{"key":${json(outcome.key)},"requestHash":"${outcome.requestHash}","outcome":${outcome.outcomeJson}}`;
  return (
    `{"position":"${position}","id":"${id}","stream":${json(stream)},"revision":"${revision}","type":${json(type)},` +
    `"schemaVersion":${schemaVersion},"data":${dataJson},"metadata":${metadataJson},"recordedAt":${json(recordedAt)}${command}}`
  );
}
