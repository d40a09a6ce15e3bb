import { boundedCache } from '../../platform/bounded-cache.js';
import type {
  BlockConnected,
  BlockDisconnected,
  ChainOpened,
  DepositPolicySet,
  Found,
  TransfersFound,
} from '../../domain/events/chain-events.js';
import type {
  CandidatePrepared,
  CandidateSigned,
  PayoutClosed,
  PayoutResolved,
  WithdrawalRemoved,
} from '../../domain/events/payout-events.js';
import type { AddressIssued, ScriptWatched, WalletCreated } from '../../domain/events/wallet-events.js';
import type { EventType } from '../../domain/events/event-types.js';
import type { EventStore, ExpectedRevision, RecordedEvent } from '../../eventstore/event-store.js';
import type { Outbox } from '../../outbox/outbox.js';
import { invariant } from '../../platform/assert.js';
import { FatalError } from '../../platform/errors.js';
import type { NetworkName } from '../network.js';
import { createWatchState, type WatchState } from '../watch/watch-state.js';
import { joinFound } from './block-events.js';
import { createChainIndex, type ChainIndex } from './chain-index.js';

export function chainStream(network: NetworkName): string {
  return `chain-${network}`;
}

const WATCH_TYPES: readonly string[] = ['WalletCreated', 'AddressIssued', 'ScriptWatched'] satisfies EventType[];

/** What the follower's state is made of. In a busy ledger most events are others, which it need not read. */
const FOLLOWED_TYPES: readonly EventType[] = [
  'WalletCreated',
  'AddressIssued',
  'ScriptWatched',
  'ChainOpened',
  'DepositPolicySet',
  'TransfersFound',
  'BlockConnected',
  'BlockDisconnected',
  'CandidatePrepared',
  'CandidateSigned',
  'WithdrawalRemoved',
  'PayoutResolved',
  'PayoutClosed',
];

/** Spends of our coins whose blocks are remembered, some 200 bytes each: days of a busy wallet. */
const MAX_SPENDERS = 20_000;

/** Parts of one block read at once: each may have half a megabyte. */
const READ_PARTS = 16;

export interface ConnectedBlock {
  hash: string;
  height: number;
  /** Of its `BlockConnected`. */
  revision: number;
}

/** A connected block that was scanned before this view, or its writer, knew all that the log has below it about what is watched. */
export interface DoubtfulBlock extends ConnectedBlock {
  /** Of the event that makes it doubtful: its own, or a later one that says whose a payment is. */
  position: bigint;
}

/** Everything the follower knows, derived from the log up to `position`. */
export interface LedgerView {
  readonly network: NetworkName;
  position: bigint;
  /** Of the chain's stream. */
  revision: ExpectedRevision;
  /** Undefined before `ChainOpened`. */
  chain: ChainIndex | undefined;
  policy: DepositPolicySet | undefined;
  /** Time in the header of the block that was connected last, seconds since 1970. */
  tipTime: number | undefined;
  readonly watch: WatchState;
  /**
   * Oldest first. Whoever writes to the chain looks into them again first: a script may have come to be watched between the
   * scan of a block and its append. A block that was scanned with a doubtful one in the log tells that this has been done.
   */
  readonly doubtful: readonly DoubtfulBlock[];
  /** Which connected block holds what spends coins of ours, so that it can be looked into again; and that none does any more. */
  rememberSpends(found: Found, block: ConnectedBlock): void;
  forgetSpends(found: Found): void;
  /** The block was looked into again, or is connected no more. */
  settle(hash: string): void;
  /** Applies what the log holds after `position`. */
  catchUp(): Promise<void>;
  /** What the connected block at this revision held for us, its parts joined. */
  readFound(revision: number): Promise<Found>;
}

export function createLedgerView(network: NetworkName, store: EventStore, outbox: Outbox): LedgerView {
  const stream = chainStream(network);
  const watch = createWatchState(network);
  /** Parts that may belong to the next `BlockConnected`. */
  let parts: TransfersFound[] = [];
  let doubtful: DoubtfulBlock[] = [];
  /** Connected blocks by the transactions in them that spend coins of ours. */
  const spenders = boundedCache<string, ConnectedBlock>(MAX_SPENDERS);
  /** Position of the last event that changed what is watched. */
  let watchedAt = 0n;

  const rememberSpends = ({ spent }: Found, block: ConnectedBlock): void => {
    for (const { txid } of spent) spenders.set(txid, block);
  };
  const forgetSpends = ({ spent }: Found): void => {
    for (const { txid } of spent) spenders.delete(txid);
  };

  const settle = (hash: string): void => {
    if (doubtful.length > 0) doubtful = doubtful.filter((block) => block.hash !== hash);
  };

  /** A block that was connected before says something else of this transaction than is known now. */
  const doubtBlockOf = (txid: string, position: bigint): void => {
    const block = spenders.get(txid);
    if (block === undefined) return;
    const others = doubtful.filter(({ hash }) => hash !== block.hash);
    doubtful = [...others, { ...block, position }].sort((a, b) => a.height - b.height);
  };

  const learnPayment = (txid: string | null, position: bigint, learn: () => void): void => {
    const before = txid === null ? null : watch.payments.payoutOf(txid);
    learn();
    if (txid !== null && watch.payments.payoutOf(txid) !== before) doubtBlockOf(txid, position);
  };

  const noteScan = (
    { position, revision, metadata }: RecordedEvent,
    { hash, height }: BlockConnected,
    found: Found,
  ): void => {
    if (metadata.watchedUpTo === undefined) return;
    const watchedUpTo = BigInt(metadata.watchedUpTo);
    if (doubtful.length > 0) doubtful = doubtful.filter((block) => block.position > watchedUpTo);
    // What the log says of payments up to the block is known here: no need to scan it again for those that agree.
    if (watchedAt > watchedUpTo || watch.payments.disagreesWith(found))
      doubtful.push({ hash, height, revision: Number(revision), position });
  };

  const readFound = async (revision: number): Promise<Found> => {
    const [event] = await store.readStream(stream, BigInt(revision), 1);
    invariant(event?.type === 'BlockConnected', `revision ${revision} of ${stream} is no connected block`);
    const block = event.data as BlockConnected;
    if (block.parts === 0) return block.found;
    const events = await readRange(store, stream, revision - block.parts, block.parts);
    return joinFound([...events.map(({ data }) => (data as TransfersFound).found), block.found]);
  };

  const partsOf = async (revision: bigint, { parts: count, hash }: BlockConnected): Promise<TransfersFound[]> => {
    if (count === 0) return [];
    const isWhole = (own: TransfersFound[]): boolean =>
      own.length === count && own.every(({ part, blockHash }, i) => part === i && blockHash === hash);
    const buffered = parts.slice(-count);
    if (isWhole(buffered)) return buffered;
    // This process wrote the first of them itself, and did not read them back.
    const events = await readRange(store, stream, Number(revision) - count, count);
    const own = events.map(({ data }) => data as TransfersFound);
    invariant(isWhole(own), `block ${hash} has its parts directly before it`);
    return own;
  };

  const applyChainEvent = async (event: RecordedEvent): Promise<void> => {
    view.revision = event.revision;
    const { chain } = view;
    if (event.type === 'ChainOpened') {
      const { height, hash } = event.data as ChainOpened;
      view.chain = createChainIndex({ height, hash });
      return;
    }
    invariant(chain, `the first event of ${stream} opens the chain`);
    switch (event.type) {
      case 'DepositPolicySet':
        view.policy = event.data as DepositPolicySet;
        return;
      case 'TransfersFound': {
        const part = event.data as TransfersFound;
        // Parts of a block that was not closed, because its follower died, do not count.
        if (part.part === 0) parts = [];
        parts.push(part);
        return;
      }
      case 'BlockConnected': {
        const block = event.data as BlockConnected;
        const own = await partsOf(event.revision, block);
        invariant(block.prevHash === chain.tip.hash, `block ${block.hash} stands on the tip`);
        chain.push({ hash: block.hash, bits: block.bits, revision: Number(event.revision) });
        const found = joinFound([...own.map((part) => part.found), block.found]);
        watch.connect(found);
        noteScan(event, block, found);
        rememberSpends(found, { hash: block.hash, height: block.height, revision: Number(event.revision) });
        parts = [];
        view.tipTime = block.time;
        return;
      }
      case 'BlockDisconnected': {
        const { hash, connectedRevision } = event.data as BlockDisconnected;
        const found = await readFound(connectedRevision);
        const tip = chain.pop();
        invariant(tip.hash === hash && tip.revision === connectedRevision, `block ${hash} is the tip`);
        watch.disconnect(found);
        forgetSpends(found);
        settle(hash);
        return;
      }
      default:
        invariant(false, `${event.type} is no event of ${stream}`);
    }
  };

  const apply = (event: RecordedEvent): Promise<void> | undefined => {
    if (WATCH_TYPES.includes(event.type)) watchedAt = event.position;
    switch (event.type) {
      case 'WalletCreated':
        watch.createWallet(event.data as WalletCreated);
        return;
      case 'AddressIssued':
        watch.issueAddress(event.data as AddressIssued);
        return;
      case 'ScriptWatched':
        return watch.watchScript(event.data as ScriptWatched);
      case 'CandidatePrepared': {
        const prepared = event.data as CandidatePrepared;
        learnPayment(prepared.transaction.txid, event.position, () => watch.payments.prepare(prepared));
        return;
      }
      case 'CandidateSigned': {
        const signed = event.data as CandidateSigned;
        learnPayment(signed.txid, event.position, () => watch.payments.sign(signed));
        return;
      }
      case 'WithdrawalRemoved':
      case 'PayoutResolved': {
        const { payoutId } = event.data as WithdrawalRemoved | PayoutResolved;
        for (const txid of watch.payments.voidUnsigned(payoutId)) doubtBlockOf(txid, event.position);
        return;
      }
      case 'PayoutClosed':
        watch.payments.close((event.data as PayoutClosed).payoutId);
        return;
      default:
        if (event.stream === stream) return applyChainEvent(event);
        if (event.type === 'ChainOpened') {
          throw new FatalError(
            `BITCOIN_NETWORK: this ledger follows ${event.stream.slice('chain-'.length)}, not ${network}`,
          );
        }
        return;
    }
  };

  const view: LedgerView = {
    network,
    position: 0n,
    revision: 'no-stream',
    chain: undefined,
    policy: undefined,
    tipTime: undefined,
    watch,
    get doubtful() {
      return doubtful;
    },
    rememberSpends,
    forgetSpends,
    settle,
    readFound,
    async catchUp() {
      for (;;) {
        const { events, upTo, head } = await outbox.readOfTypes(view.position, FOLLOWED_TYPES);
        for (const event of events) {
          invariant(event.position > view.position, `position ${event.position} comes after ${view.position}`);
          const done = apply(event);
          if (done) await done;
          view.position = event.position;
        }
        view.position = upTo;
        if (upTo === head) return;
      }
    },
  };
  return view;
}

async function readRange(store: EventStore, stream: string, from: number, count: number): Promise<RecordedEvent[]> {
  const events: RecordedEvent[] = [];
  while (events.length < count) {
    const next = await store.readStream(
      stream,
      BigInt(from + events.length),
      Math.min(count - events.length, READ_PARTS),
    );
    invariant(next.length > 0, `stream ${stream} has no revision ${from + events.length}`);
    events.push(...next);
  }
  return events;
}
