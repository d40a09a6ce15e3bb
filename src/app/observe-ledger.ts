import type { Follower } from '../bitcoin/follow/follower.js';
import type { Outbox } from '../outbox/outbox.js';
import type { Metrics } from '../platform/metrics.js';
import type { ProjectionRunner } from '../projections/runner/projection-runner.js';
import type { ProjectionStatus } from '../projections/status.js';

export interface Observed {
  follower: Follower;
  runner: ProjectionRunner;
  outbox: Outbox;
}

/**
 * The ledger's own metrics, read at each scrape. What comes from the database is read once per scrape, in `refresh`;
 * the gauges then only report it.
 */
export function observeLedger(metrics: Metrics, { follower, runner, outbox }: Observed): { refresh(): Promise<void> } {
  let head = 0n;
  let projections: ProjectionStatus[] = [];
  const perProjection = (value: (status: ProjectionStatus) => bigint | number) => () =>
    projections.map((status) => ({ labels: { projection: status.name }, value: Number(value(status)) }));

  metrics.observe('outbox_head_position', 'Position of the last event of the log.', [], () => [
    { value: Number(head) },
  ]);
  metrics.observe(
    'projection_position',
    'Position that a read model has reached.',
    ['projection'],
    perProjection((status) => status.position),
  );
  metrics.observe(
    'projection_lag_events',
    'Events that a read model has yet to take in.',
    ['projection'],
    perProjection((status) => status.lagEvents),
  );
  metrics.observe(
    'projection_halted',
    '1 where a read model has stopped at an event that it cannot take in.',
    ['projection'],
    perProjection((status) => (status.state === 'halted' ? 1 : 0)),
  );
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
  return {
    refresh: async () => {
      [head, projections] = await Promise.all([outbox.head(), runner.status()]);
    },
  };
}
