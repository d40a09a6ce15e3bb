import shared from '@eventstore/db-client/generated/shared_pb.js';
import streams from '@eventstore/db-client/generated/streams_pb.js';
import type { AppendReq, ReadReq, ReadResp } from '@eventstore/db-client/generated/streams_pb.js';

/** Place of an event in `$all`. Both are needed: events of one append share the commit position. */
export interface AllPosition {
  commit: bigint;
  prepare: bigint;
}

/** An event as it stands in EventStoreDB. */
export interface StoredEvent {
  stream: string;
  /** EventStoreDB's revision. */
  revision: bigint;
  id: string;
  type: string;
  data: Uint8Array;
  metadata: Uint8Array;
  position: AllPosition;
}

export interface EventToStore {
  id: string;
  type: string;
  data: Uint8Array;
  metadata: Uint8Array;
}

/** @param expected revision, -1n: no such stream yet. There is no way to ask for "any". */
export function appendHeader(stream: string, expected: bigint): AppendReq {
  const options = new streams.AppendReq.Options();
  options.setStreamIdentifier(streamIdentifier(stream));
  if (expected < 0n) options.setNoStream(new shared.Empty());
  else options.setRevision(expected.toString());
  const request = new streams.AppendReq();
  request.setOptions(options);
  return request;
}

export function appendEvent(event: EventToStore): AppendReq {
  const id = new shared.UUID();
  id.setString(event.id);
  const message = new streams.AppendReq.ProposedMessage();
  message.setId(id);
  message.getMetadataMap().set('type', event.type).set('content-type', 'application/json');
  message.setData(event.data);
  message.setCustomMetadata(event.metadata);
  const request = new streams.AppendReq();
  request.setProposedMessage(message);
  return request;
}

/** @param from revision; 'end': backwards from the last */
export function readStreamRequest(stream: string, from: bigint | 'end', count: number): ReadReq {
  const ofStream = new streams.ReadReq.Options.StreamOptions();
  ofStream.setStreamIdentifier(streamIdentifier(stream));
  if (from === 'end') ofStream.setEnd(new shared.Empty());
  else ofStream.setRevision(from.toString());
  const options = readOptions();
  options.setStream(ofStream);
  options.setCount(String(count));
  options.setNoFilter(new shared.Empty());
  options.setReadDirection(from === 'end' ? 1 : 0);
  return requestOf(options);
}

/** @param checkpointInterval in search windows of 32 events */
export function subscribeToAllRequest(
  prefix: string,
  after: AllPosition | undefined,
  checkpointInterval: number,
): ReadReq {
  const all = new streams.ReadReq.Options.AllOptions();
  if (after === undefined) {
    all.setStart(new shared.Empty());
  } else {
    const position = new streams.ReadReq.Options.Position();
    position.setCommitPosition(after.commit.toString());
    position.setPreparePosition(after.prepare.toString());
    all.setPosition(position);
  }
  const options = readOptions();
  options.setAll(all);
  options.setSubscription(new streams.ReadReq.Options.SubscriptionOptions());
  options.setFilter(prefixFilter(prefix, checkpointInterval));
  return requestOf(options);
}

/** The last event of all streams of a prefix. */
export function readLastOfPrefixRequest(prefix: string): ReadReq {
  const all = new streams.ReadReq.Options.AllOptions();
  all.setEnd(new shared.Empty());
  const options = readOptions();
  options.setAll(all);
  options.setCount('1');
  options.setReadDirection(1);
  options.setFilter(prefixFilter(prefix, 1));
  return requestOf(options);
}

function prefixFilter(prefix: string, checkpointInterval: number): ReadReq.Options.FilterOptions {
  const expression = new streams.ReadReq.Options.FilterOptions.Expression();
  expression.setPrefixList([prefix]);
  const filter = new streams.ReadReq.Options.FilterOptions();
  filter.setStreamIdentifier(expression);
  filter.setCount(new shared.Empty());
  filter.setCheckpointintervalmultiplier(checkpointInterval);
  return filter;
}

function readOptions(): ReadReq.Options {
  const uuids = new streams.ReadReq.Options.UUIDOption();
  uuids.setString(new shared.Empty());
  const options = new streams.ReadReq.Options();
  options.setUuidOption(uuids);
  options.setResolveLinks(false);
  return options;
}

function requestOf(options: ReadReq.Options): ReadReq {
  const request = new streams.ReadReq();
  request.setOptions(options);
  return request;
}

function streamIdentifier(stream: string): InstanceType<typeof shared.StreamIdentifier> {
  const identifier = new shared.StreamIdentifier();
  identifier.setStreamName(Buffer.from(stream, 'utf8'));
  return identifier;
}

/** Undefined for a message without an event. */
export function eventOf(response: ReadResp): StoredEvent | undefined {
  const record = response.getEvent()?.getEvent();
  if (record === undefined) return undefined;
  const metadata = record.getMetadataMap();
  return {
    stream: Buffer.from(record.getStreamIdentifier()?.getStreamName_asU8() ?? []).toString('utf8'),
    revision: BigInt(record.getStreamRevision()),
    id: (record.getId()?.getString() ?? '').toLowerCase(),
    type: metadata.get('type') ?? '',
    data: record.getData_asU8(),
    metadata: record.getCustomMetadata_asU8(),
    position: { commit: BigInt(record.getCommitPosition()), prepare: BigInt(record.getPreparePosition()) },
  };
}

export function checkpointOf(response: ReadResp): AllPosition | undefined {
  const checkpoint = response.getCheckpoint();
  return (
    checkpoint && {
      commit: BigInt(checkpoint.getCommitPosition()),
      prepare: BigInt(checkpoint.getPreparePosition()),
    }
  );
}

export function isAfter(a: AllPosition, b: AllPosition): boolean {
  return a.commit === b.commit ? a.prepare > b.prepare : a.commit > b.commit;
}
