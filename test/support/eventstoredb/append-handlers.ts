import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import {
  Metadata,
  status,
  type sendUnaryData,
  type ServerDuplexStream,
  type ServerReadableStream,
} from '@grpc/grpc-js';
import shared from '@eventstore/db-client/generated/shared_pb.js';
import statusMessages from '@eventstore/db-client/generated/status_pb.js';
import streams from '@eventstore/db-client/generated/streams_pb.js';
import type {
  AppendReq,
  AppendResp,
  BatchAppendReq,
  BatchAppendResp,
} from '@eventstore/db-client/generated/streams_pb.js';
import anyMessages from 'google-protobuf/google/protobuf/any_pb.js';
import type { AppendFault, Faults } from './faults.js';
import { proposedEvent, streamName, uuidText } from './messages.js';
import {
  MAX_APPEND_SIZE,
  type Expected,
  type LogAppendResult,
  type ProposedEvent,
  type StoredLog,
} from './stored-log.js';

export interface AppendContext {
  log: StoredLog;
  faults: Faults;
  /** Ends every connection, as a network or a killed server does. */
  dropConnections(): void;
  /** Where the leader is, if not here. */
  leader(): { host: string; port: number } | undefined;
}

/** What an append comes to: a result, an error of gRPC, or no answer at all. */
type Answer =
  LogAppendResult | { kind: 'error'; code: status; details: string; trailers: Record<string, string> } | 'none';

async function answerAppend(
  context: AppendContext,
  stream: string,
  expected: Expected,
  events: readonly ProposedEvent[],
): Promise<Answer> {
  const { log, faults } = context;
  const fault: AppendFault | undefined = faults.appends.shift();
  const leader = context.leader();
  if (leader) return notLeader(leader.host, leader.port);
  await faults.beforeAppend?.(stream);
  const apply = (): LogAppendResult => log.append(stream, expected, events);
  switch (fault?.kind) {
    case undefined:
      return apply();
    case 'drop-before':
      context.dropConnections();
      return 'none';
    case 'drop-after':
      apply();
      context.dropConnections();
      return 'none';
    case 'hang-before':
      return 'none';
    case 'hang-after':
      apply();
      return 'none';
    case 'apply-late':
      void fault.when.then(apply);
      return 'none';
    case 'timeout':
      if (fault.applied) apply();
      return { kind: 'error', code: status.ABORTED, details: 'Operation timed out', trailers: {} };
    case 'duplicate':
      apply();
      return apply();
    case 'slow':
      await sleep(fault.ms);
      return apply();
    case 'not-leader':
      return notLeader(fault.host, fault.port);
  }
}

export function notLeader(host: string, port: number): Exclude<Answer, LogAppendResult | 'none'> {
  return {
    kind: 'error',
    code: status.NOT_FOUND,
    details: 'Leader info available',
    trailers: { exception: 'not-leader', 'leader-endpoint-host': host, 'leader-endpoint-port': String(port) },
  };
}

export function toTrailers(trailers: Readonly<Record<string, string>>): Metadata {
  const metadata = new Metadata();
  for (const [name, value] of Object.entries(trailers)) metadata.set(name, value);
  return metadata;
}

function tooLarge(): Exclude<Answer, LogAppendResult | 'none'> {
  return {
    kind: 'error',
    code: status.INVALID_ARGUMENT,
    details: `Maximum Append Size of ${MAX_APPEND_SIZE} Exceeded.`,
    trailers: { exception: 'maximum-append-size-exceeded', 'maximum-append-size': String(MAX_APPEND_SIZE) },
  };
}

/** `Streams.Append`: options first, then the events, one message each. */
export function handleAppend(
  context: AppendContext,
  call: ServerReadableStream<AppendReq, AppendResp>,
  callback: sendUnaryData<AppendResp>,
): void {
  let stream = '';
  let expected: Expected = 'any';
  const events: ProposedEvent[] = [];
  call.on('data', (request: AppendReq) => {
    const options = request.getOptions();
    if (options) {
      stream = streamName(options.getStreamIdentifier());
      if (options.hasNoStream()) expected = -1n;
      else if (options.hasRevision()) expected = BigInt(options.getRevision());
      else if (options.hasStreamExists()) expected = 'stream-exists';
    }
    const message = request.getProposedMessage();
    if (message) events.push(proposedEvent(message));
  });
  call.on('error', () => undefined);
  async function answer(): Promise<void> {
    // The client went away in the middle: nothing is appended. gRPC says so a little after it has said that the request ends.
    await nextTurn();
    if (call.cancelled) return;
    const answer = await answerAppend(context, stream, expected, events);
    if (answer === 'none' || call.cancelled) return;
    const result = answer.kind === 'too-large' ? tooLarge() : answer;
    if (result.kind === 'error') {
      callback({ code: result.code, details: result.details, metadata: toTrailers(result.trailers) });
    } else {
      callback(null, appendResponse(expected, result));
    }
  }
  call.on('end', () => void answer());
}

function appendResponse(expected: Expected, result: Exclude<LogAppendResult, { kind: 'too-large' }>): AppendResp {
  const response = new streams.AppendResp();
  if (result.kind === 'success') {
    const position = new streams.AppendResp.Position();
    position.setCommitPosition(result.position.commit.toString());
    position.setPreparePosition(result.position.prepare.toString());
    const success = new streams.AppendResp.Success();
    success.setCurrentRevision(result.revision.toString());
    success.setPosition(position);
    response.setSuccess(success);
    return response;
  }
  const wrong = new streams.AppendResp.WrongExpectedVersion();
  if (result.actual < 0n) wrong.setCurrentNoStream(new shared.Empty());
  else wrong.setCurrentRevision(result.actual.toString());
  if (expected === 'any') wrong.setExpectedAny(new shared.Empty());
  else if (expected === 'stream-exists') wrong.setExpectedStreamExists(new shared.Empty());
  else if (expected < 0n) wrong.setExpectedNoStream(new shared.Empty());
  else wrong.setExpectedRevision(expected.toString());
  response.setWrongExpectedVersion(wrong);
  return response;
}

/** `Streams.BatchAppend`: many appends over one call, told apart by correlation ids. */
export function handleBatchAppend(
  context: AppendContext,
  call: ServerDuplexStream<BatchAppendReq, BatchAppendResp>,
): void {
  const open = new Map<string, { stream: string; expected: Expected; events: ProposedEvent[] }>();
  call.on('error', () => undefined);
  call.on('end', () => {
    call.end();
  });
  call.on('data', (request: BatchAppendReq) => {
    const id = uuidText(request.getCorrelationId());
    const options = request.getOptions();
    if (options) {
      const expected: Expected = options.hasNoStream()
        ? -1n
        : options.hasStreamPosition()
          ? BigInt(options.getStreamPosition())
          : options.hasStreamExists()
            ? 'stream-exists'
            : 'any';
      open.set(id, { stream: streamName(options.getStreamIdentifier()), expected, events: [] });
    }
    const append = open.get(id);
    if (!append) return;
    append.events.push(...request.getProposedMessagesList().map(proposedEvent));
    if (!request.getIsFinal()) return;
    open.delete(id);
    void answerAppend(context, append.stream, append.expected, append.events).then((answer) => {
      if (answer === 'none' || call.cancelled) return;
      if (answer.kind === 'error') {
        call.emit('error', { code: answer.code, details: answer.details, metadata: toTrailers(answer.trailers) });
        return;
      }
      const response = batchResponse(append.expected, answer);
      response.setCorrelationId(request.getCorrelationId());
      const identifier = new shared.StreamIdentifier();
      identifier.setStreamName(Buffer.from(append.stream, 'utf8'));
      response.setStreamIdentifier(identifier);
      call.write(response);
    });
  });
}

function batchResponse(expected: Expected, result: LogAppendResult): BatchAppendResp {
  const response = new streams.BatchAppendResp();
  if (result.kind === 'success') {
    const position = new shared.AllStreamPosition();
    position.setCommitPosition(result.position.commit.toString());
    position.setPreparePosition(result.position.prepare.toString());
    const success = new streams.BatchAppendResp.Success();
    success.setCurrentRevision(result.revision.toString());
    success.setPosition(position);
    response.setSuccess(success);
    return response;
  }
  const details = new anyMessages.Any();
  if (result.kind === 'too-large') {
    const exceeded = new shared.MaximumAppendSizeExceeded();
    exceeded.setMaxappendsize(MAX_APPEND_SIZE);
    details.pack(exceeded.serializeBinary(), 'event_store.client.MaximumAppendSizeExceeded');
  } else {
    const wrong = new shared.WrongExpectedVersion();
    if (result.actual >= 0n) wrong.setCurrentStreamRevision(result.actual.toString());
    if (typeof expected === 'bigint' && expected >= 0n) wrong.setExpectedStreamPosition(expected.toString());
    details.pack(wrong.serializeBinary(), 'event_store.client.WrongExpectedVersion');
  }
  const error = new statusMessages.Status();
  error.setCode(result.kind === 'too-large' ? 3 : 9);
  error.setMessage(result.kind);
  error.setDetails(details);
  response.setError(error);
  return response;
}
