import type { RelayStatus } from '../eventstore/relay/relay.js';
import { invariant } from '../platform/assert.js';
import type { HealthCheck } from '../query/ports.js';
import type { LedgerContext } from './process-parts.js';

/** Brings what is appended to EventStoreDB into the outbox, while this process holds the ledger's lease for that. Started. */
export async function openRelay(context: LedgerContext): Promise<HealthCheck> {
  const { config, ledger, enginePool: pool, measured, logger, onFatal, onTrouble, closers } = context;
  const { eventStoreDbUrl: url } = config;
  invariant(url !== undefined, 'EventStoreDB has a URL');
  const { createRelay } = await import('../eventstore/relay/relay.js');
  const relay = createRelay({
    url,
    pool,
    ledger,
    onError: onTrouble,
    onHalt: (error) => {
      logger.error({ err: error, ledger }, 'the relay has halted: nothing more comes into the outbox');
    },
    onFatal,
  });
  relay.start();
  closers.add('relay', () => relay.stop());
  measured.observe('relay_state', '1 for the state that the relay of this process is in.', ['state'], () => [
    { labels: { state: relay.status().state }, value: 1 },
  ]);
  measured.observe('relay_events', 'Events that the relay of this process has brought into the outbox.', [], () => [
    { value: relay.status().relayedEvents },
  ]);
  measured.observe(
    'relay_duplicates_dropped',
    'Deliveries of EventStoreDB that the relay of this process had already.',
    [],
    () => [{ value: relay.status().duplicatesDropped }],
  );
  return {
    name: 'relay',
    check: () => {
      const { state, reason, epoch } = relay.status();
      return Promise.resolve({ ok: state !== 'halted', detail: describe(state, reason, epoch) });
    },
  };
}

function describe(state: RelayStatus['state'], reason: string | undefined, epoch: bigint | undefined): string {
  return `${state}${epoch === undefined ? '' : ` with token ${epoch}`}${reason === undefined ? '' : `: ${reason}`}`;
}
