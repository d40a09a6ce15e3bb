import type { Follower } from '../bitcoin/follow/follower.js';
import type { Outbox } from '../outbox/outbox.js';
import type { LedgerMetrics } from '../platform/metrics.js';
import type { ProjectionStatus } from '../projections/status.js';

export interface Observed {
  /** Undefined where this process does not follow the chain. */
  follower: Follower | undefined;
  status: () => Promise<ProjectionStatus[]>;
  outbox: Outbox;
  /** Seconds that the first event which a read model has not taken in waits, by name. */
  ages: (status: readonly ProjectionStatus[]) => Promise<ReadonlyMap<string, number>>;
}

/** The ledger's own metrics. What comes from the database is read once per scrape; the gauges then only report it. */
export function observeLedger(metrics: LedgerMetrics, { follower, status, outbox, ages }: Observed): void {
  let head: bigint | undefined;
  let projections: ProjectionStatus[] = [];
  let oldest: ReadonlyMap<string, number> = new Map();
  const perProjection = (value: (of: ProjectionStatus) => bigint | number) => () =>
    projections.map((of) => ({ labels: { projection: of.name }, value: Number(value(of)) }));

  metrics.observe('outbox_head_position', 'Position of the last event of the log.', [], () =>
    head === undefined ? [] : [{ value: Number(head) }],
  );
  metrics.observe(
    'projection_position',
    'Position that a read model has reached.',
    ['projection'],
    perProjection(({ position }) => position),
  );
  metrics.observe(
    'projection_lag_events',
    'Events that a read model has yet to take in.',
    ['projection'],
    perProjection(({ lagEvents }) => lagEvents),
  );
  metrics.observe(
    'projection_halted',
    '1 where a read model has stopped at an event that it cannot take in.',
    ['projection'],
    perProjection(({ state }) => (state === 'halted' ? 1 : 0)),
  );
  metrics.observe(
    'oldest_unprojected_event_age_seconds',
    'How long the first event that a read model has yet to take in has been waiting; 0 where none does.',
    ['projection'],
    () => [...oldest].map(([projection, value]) => ({ labels: { projection }, value })),
  );
  metrics.beforeScrape(
    async () => {
      [head, projections] = await Promise.all([outbox.head(), status()]);
      oldest = await ages(projections);
    },
    () => {
      head = undefined;
      projections = [];
      oldest = new Map();
    },
  );
  if (follower !== undefined) observeFollower(metrics, follower);
}

function observeFollower(metrics: LedgerMetrics, follower: Follower): void {
  metrics.observe('follower_state', '1 for the state that the follower of the chain is in.', ['state'], () => [
    { labels: { state: follower.status().state }, value: 1 },
  ]);
  metrics.observe(
    'chain_height',
    'Height of the tip: `ledger` is ours, `source` that of the source of blocks.',
    ['of'],
    () => {
      const { tip, sourceTip } = follower.status();
      return [
        ...(tip === undefined ? [] : [{ labels: { of: 'ledger' }, value: tip.height }]),
        ...(sourceTip === undefined ? [] : [{ labels: { of: 'source' }, value: sourceTip.height }]),
      ];
    },
  );
  metrics.observe('chain_tip_age_seconds', 'Seconds since the time in our tip, as its miner wrote it.', [], () => {
    const { tipTime } = follower.status();
    return tipTime === undefined ? [] : [{ value: Date.now() / 1000 - tipTime }];
  });
  metrics.observe('follower_blocks_per_second', 'Blocks connected per second while syncing.', [], () => [
    { value: follower.status().blocksPerSecond },
  ]);
  metrics.observe('reorg_deepest_blocks', 'Depth of the deepest reorg since the start of the process.', [], () => [
    { value: follower.status().deepestReorg },
  ]);
  metrics.observe('finality_broken', '1 after a reorg of FINALITY_DEPTH or deeper.', [], () => [
    { value: follower.status().finalityBroken ? 1 : 0 },
  ]);
}
