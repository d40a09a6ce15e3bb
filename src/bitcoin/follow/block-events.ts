import type { Found } from '../../domain/events/chain-events.js';
import type { DomainEvent } from '../../domain/events/event-types.js';
import type { NetworkName } from '../network.js';
import type { ScannedBlock } from '../scan-types.js';

/**
 * Bytes of JSON that one event of a block may hold. An event may have 512 KiB; the database shows JSON with a blank after every
 * comma and colon, which is up to a tenth more.
 */
export const PART_BYTES = 400 * 1024;

type ChainEvent = Extract<DomainEvent, { type: 'TransfersFound' | 'BlockConnected' }>;

/** The events of a connected block: as many `TransfersFound` as do not fit, and the `BlockConnected` that closes them. */
export function blockEvents(
  network: NetworkName,
  height: number,
  scanned: ScannedBlock,
  found: Found,
  partBytes: number = PART_BYTES,
): ChainEvent[] {
  const pieces = splitFound(found, partBytes);
  const last = pieces.pop() ?? emptyFound();
  const { hash, prevHash, time, bits } = scanned.header;
  const { size, transactionCount } = scanned;
  return [
    ...pieces.map((piece, part): ChainEvent => ({
      type: 'TransfersFound',
      data: { network, blockHash: hash, part, found: piece },
    })),
    {
      type: 'BlockConnected',
      data: {
        network,
        hash,
        height,
        prevHash,
        time,
        bits,
        size,
        transactionCount,
        parts: pieces.length,
        found: last,
      },
    },
  ];
}

export function emptyFound(): Found {
  return { received: [], spent: [], funding: [], conflicts: [] };
}

/** Joins the parts of a block again. The inputs of one transaction may be spread over several `funding` entries. */
export function joinFound(parts: readonly Found[]): Found {
  return {
    received: parts.flatMap(({ received }) => received),
    spent: parts.flatMap(({ spent }) => spent),
    funding: parts.flatMap(({ funding }) => funding),
    conflicts: parts.flatMap(({ conflicts }) => conflicts),
  };
}

/** Pieces in block order, list by list, each at most so many bytes as JSON (but at least one entry). */
function splitFound(found: Found, partBytes: number): Found[] {
  const pieces: Found[] = [];
  let piece = emptyFound();
  let bytes = 0;
  const makeRoom = (needed: number): void => {
    if (bytes > 0 && bytes + needed > partBytes) {
      pieces.push(piece);
      piece = emptyFound();
      bytes = 0;
    }
    bytes += needed;
  };
  const put = <K extends keyof Found>(list: K, entries: readonly Found[K][number][]): void => {
    for (const entry of entries) {
      makeRoom(jsonBytes(entry));
      (piece[list] as Found[K][number][]).push(entry);
    }
  };
  put('received', found.received);
  put('spent', found.spent);
  for (const { txid, inputs } of found.funding) {
    // A transaction can have 20,000 inputs and more, 70 bytes each: its list is cut where a piece is full.
    const perPiece = Math.max(1, Math.floor((partBytes - jsonBytes({ txid, inputs: [] })) / BYTES_PER_INPUT));
    for (let i = 0; i === 0 || i < inputs.length; i += perPiece) {
      put('funding', [{ txid, inputs: inputs.slice(i, i + perPiece) }]);
    }
  }
  put('conflicts', found.conflicts);
  if (bytes > 0) pieces.push(piece);
  return pieces;
}

/** 64 digits, colon, up to 10 digits, quotes and comma. */
const BYTES_PER_INPUT = 78;

/** Everything in these events is ASCII: ids, hex, decimal numbers, addresses. The comma is counted. */
function jsonBytes(entry: unknown): number {
  return JSON.stringify(entry).length + 1;
}
