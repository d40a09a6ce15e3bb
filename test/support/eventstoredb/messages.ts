import shared from '@eventstore/db-client/generated/shared_pb.js';
import streams from '@eventstore/db-client/generated/streams_pb.js';
import type { AppendReq, BatchAppendReq, ReadResp } from '@eventstore/db-client/generated/streams_pb.js';
import type { UUID } from '@eventstore/db-client/generated/shared_pb.js';
import type { LogPosition, ProposedEvent, StoredEvent } from './stored-log.js';

/** .NET ticks of 100 ns. */
const TICKS_PER_MS = 10_000n;

export function uuidText(uuid: UUID | undefined): string {
  return (uuid?.getString() ?? '').toLowerCase();
}

export function streamName(identifier: { getStreamName_asU8(): Uint8Array } | undefined): string {
  return Buffer.from(identifier?.getStreamName_asU8() ?? []).toString('utf8');
}

export function proposedEvent(message: AppendReq.ProposedMessage | BatchAppendReq.ProposedMessage): ProposedEvent {
  const map = message.getMetadataMap();
  return {
    id: uuidText(message.getId()),
    type: map.get('type') ?? '',
    contentType: map.get('content-type') ?? 'application/json',
    data: message.getData_asU8(),
    metadata: message.getCustomMetadata_asU8(),
  };
}

export function eventMessage(stored: StoredEvent): ReadResp {
  const uuid = new shared.UUID();
  uuid.setString(stored.id);
  const identifier = new shared.StreamIdentifier();
  identifier.setStreamName(Buffer.from(stored.stream, 'utf8'));
  const record = new streams.ReadResp.ReadEvent.RecordedEvent();
  record.setId(uuid);
  record.setStreamIdentifier(identifier);
  record.setStreamRevision(stored.revision.toString());
  record.setCommitPosition(stored.commit.toString());
  record.setPreparePosition(stored.prepare.toString());
  record.setData(stored.data);
  record.setCustomMetadata(stored.metadata);
  record
    .getMetadataMap()
    .set('type', stored.type)
    .set('content-type', stored.contentType)
    .set('created', (BigInt(stored.createdMs) * TICKS_PER_MS).toString());
  const event = new streams.ReadResp.ReadEvent();
  event.setEvent(record);
  event.setCommitPosition(stored.commit.toString());
  const response = new streams.ReadResp();
  response.setEvent(event);
  return response;
}

export function checkpointMessage({ commit, prepare }: LogPosition): ReadResp {
  const checkpoint = new streams.ReadResp.Checkpoint();
  checkpoint.setCommitPosition(commit.toString());
  checkpoint.setPreparePosition(prepare.toString());
  const response = new streams.ReadResp();
  response.setCheckpoint(checkpoint);
  return response;
}

export function confirmationMessage(id: string): ReadResp {
  const confirmation = new streams.ReadResp.SubscriptionConfirmation();
  confirmation.setSubscriptionId(id);
  const response = new streams.ReadResp();
  response.setConfirmation(confirmation);
  return response;
}

export function caughtUpMessage(): ReadResp {
  const response = new streams.ReadResp();
  response.setCaughtUp(new streams.ReadResp.CaughtUp());
  return response;
}

/** How the server says that there is no such stream: a message of its own, never a revision of -1. */
export function streamNotFoundMessage(name: string): ReadResp {
  const identifier = new shared.StreamIdentifier();
  identifier.setStreamName(Buffer.from(name, 'utf8'));
  const notFound = new streams.ReadResp.StreamNotFound();
  notFound.setStreamIdentifier(identifier);
  const response = new streams.ReadResp();
  response.setStreamNotFound(notFound);
  return response;
}
