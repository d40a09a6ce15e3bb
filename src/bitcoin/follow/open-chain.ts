import type { ChainOpened, DepositPolicySet } from '../../domain/events/chain-events.js';
import { deterministicUuid } from '../../domain/event-id.js';
import { EVENT_TYPES, type DomainEvent } from '../../domain/events/event-types.js';
import type { EventStore } from '../../eventstore/event-store.js';
import { FatalError } from '../../platform/errors.js';
import { SourceError, type BlockSource } from '../block-source.js';
import { parseHeader } from '../scan/parse-header.js';
import type { BlockPlace } from './chain-index.js';
import { GENESIS, NO_BLOCK } from './genesis.js';
import { chainStream, type LedgerView } from './ledger-view.js';

/** Consensus (Bitcoin Core, `COINBASE_MATURITY`). */
const COINBASE_MATURITY = 100;

export interface ChainSettings {
  /** Undefined: the network's genesis block. */
  startBlock: BlockPlace | undefined;
  depositConfirmations: number;
}

/**
 * Writes where the chain begins, once, and the deposit policy whenever the configured one differs from the log's. The view must
 * have caught up, and is caught up again afterwards.
 *
 * @throws FatalError when `START_BLOCK` is not where this ledger began
 * @throws SourceError `wrong-network` when the source does not have the start block
 */
export async function openChain(
  { ledger, view, store, source }: { ledger: string; view: LedgerView; store: EventStore; source: BlockSource },
  settings: ChainSettings,
): Promise<void> {
  const stream = chainStream(view.network);
  for (;;) {
    const event = await missingEvent(view, source, settings);
    if (!event) return;
    const { schema, schemaVersion } = EVENT_TYPES[event.type];
    schema.parse(event.data);
    const revision = view.revision === 'no-stream' ? 0 : Number(view.revision) + 1;
    const id = deterministicUuid(ledger, stream, revision, event.type);
    const { type, data } = event;
    await store.append({
      stream,
      expectedRevision: view.revision,
      events: [{ id, type, schemaVersion, data, metadata: { actor: 'follower' } }],
    });
    // Also after a wrong expected revision: then another follower did it, and the log says what.
    await view.catchUp();
  }
}

async function missingEvent(
  { network, chain, policy }: LedgerView,
  source: BlockSource,
  { startBlock, depositConfirmations }: ChainSettings,
): Promise<DomainEvent | undefined> {
  if (!chain) return { type: 'ChainOpened', data: await chainStart(network, source, startBlock) };
  if (startBlock && startBlock.hash !== chain.start.hash) {
    const { height, hash } = chain.start;
    throw new FatalError(`START_BLOCK: this ledger began at ${height}:${hash}, which cannot be changed`);
  }
  if (policy?.depositConfirmations === depositConfirmations) return undefined;
  const data: DepositPolicySet = { network, depositConfirmations, coinbaseMaturity: COINBASE_MATURITY };
  return { type: 'DepositPolicySet', data };
}

async function chainStart(
  network: LedgerView['network'],
  source: BlockSource,
  startBlock: BlockPlace | undefined,
): Promise<ChainOpened> {
  const genesis = GENESIS[network];
  if (!startBlock || startBlock.hash === genesis.hash) {
    const { hash, time, bits } = genesis;
    return { network, hash, height: 0, prevHash: NO_BLOCK, time, bits };
  }
  const { hash, height } = startBlock;
  if (source.name === 'rpc' || source.name === 'builtin') {
    const there = await source.hashAt(height);
    const tip = there === undefined ? await source.tip() : undefined;
    if (tip) {
      throw new SourceError('block-missing', `The source has not reached the start block at height ${height} yet.`, {
        tip,
      });
    }
    if (there !== hash) {
      throw new SourceError(
        'wrong-network',
        `The source has ${there} at height ${height}, not the start block ${hash}.`,
      );
    }
  }
  const [raw] = await source.headers([hash]);
  const header = raw && parseHeader(raw);
  // A block that is to come by push is known by height and hash only.
  if (header?.hash !== hash) return { network, hash, height, prevHash: null, time: null, bits: null };
  return { network, hash, height, prevHash: header.prevHash, time: header.time, bits: header.bits };
}
