import type pg from 'pg';
import type { Follower } from '../bitcoin/follow/follower.js';
import type { FollowerState } from '../bitcoin/follow/follower-status.js';
import type { KafkaSource } from '../outbox/kafka/kafka-source.js';
import type { LedgerFeed } from '../outbox/kafka/ledger-feed.js';
import type { Outbox } from '../outbox/outbox.js';
import type { Progress } from '../projections/progress.js';
import type { ProjectionStatus } from '../projections/status.js';
import { readHaltedPayouts, readRefusedPayouts } from '../query/payments-summary.js';
import type { WorkflowStatus } from '../workflow/workflow.js';
import type { HealthCheck } from '../query/ports.js';

/** More than this many events behind, answers about the present are stale for longer than a client waits. */
const MAX_LAG_EVENTS = 10_000n;

/** Payouts that a check names: the first ones say enough. */
const MAX_NAMED = 10;

/** A round of what is due takes a second at most, and waits for nobody outside. */
const MAX_ROUND_AGE_MS = 60_000;

/** States in which the ledger does what it should. A node that is behind is waited for; the answers are right meanwhile. */
const GOOD_STATES: ReadonlySet<FollowerState> = new Set(['synced', 'syncing', 'node-behind', 'standby']);

export interface HealthDeps {
  pool: pg.Pool;
  ledger: string;
  outbox: Outbox;
  progress: Progress;
  status: () => Promise<ProjectionStatus[]>;
  /** Undefined where this process does not follow the chain. */
  follower: Follower | undefined;
  /** How events come to the projections of this process, where it is not from the outbox itself. */
  delivery: { source: Pick<KafkaSource, 'status'>; feed: Pick<LedgerFeed, 'status'> } | undefined;
  /** Of the workflow that pays, undefined before it runs; undefined where this process has nothing to do with payments. */
  payments: (() => WorkflowStatus | undefined) | undefined;
}

/** What `GET /health/ready` asks, part by part. */
export function createHealthChecks(deps: HealthDeps): readonly HealthCheck[] {
  const { pool, ledger, outbox, progress, status, follower, delivery, payments } = deps;
  return [
    {
      name: 'database',
      check: async () => {
        await pool.query('SELECT 1');
        return { ok: true, detail: 'answers' };
      },
    },
    {
      name: 'feed',
      check: async () => {
        const projections = await status();
        const halted = projections.filter(({ state }) => state === 'halted');
        return halted.length === 0
          ? { ok: true, detail: `${projections.length} projections live` }
          : {
              ok: false,
              detail: halted
                .map(({ name, haltedAt, reason }) => `${name} halted at position ${haltedAt ?? '?'}: ${reason ?? ''}`)
                .join('; '),
            };
      },
    },
    {
      name: 'lag',
      check: async () => {
        const head = await outbox.head();
        await progress.refresh();
        const lag = head - progress.reached();
        return { ok: lag <= MAX_LAG_EVENTS, detail: `${lag} events behind position ${head}` };
      },
    },
    ...(delivery === undefined ? [] : [createDeliveryCheck(delivery)]),
    ...(follower === undefined ? [] : [createNodeCheck(follower)]),
    ...(payments === undefined ? [] : [createPayoutsCheck({ pool, ledger, payments })]),
  ];
}

/** Never red: what Kafka does not deliver is read from the outbox. It says so, and the metrics count it. */
function createDeliveryCheck({ source, feed }: NonNullable<HealthDeps['delivery']>): HealthCheck {
  return {
    name: 'kafka',
    check: () => {
      const { state, error, assigned } = source.status();
      const reading = feed.status().source;
      const from = {
        kafka: 'events come from Kafka',
        'catching-up': 'catching up from the outbox',
        silent: 'Kafka delivers nothing: events are read from the outbox',
        away: 'Kafka is away: events are read from the outbox',
      };
      const where = reading === undefined ? 'another process projects this ledger' : from[reading];
      const detail = `${state}${error === undefined ? '' : ` (${error})`}, ${assigned.length} partitions here; ${where}`;
      return Promise.resolve({ ok: true, detail });
    },
  };
}

function createNodeCheck(follower: Follower): HealthCheck {
  return {
    name: 'node',
    check: () => {
      const { state, detail, tip } = follower.status();
      const where = tip === undefined ? 'no block yet' : `height ${tip.height}`;
      return Promise.resolve({
        ok: GOOD_STATES.has(state),
        detail: `${state} at ${where}${detail === undefined ? '' : `: ${detail}`}`,
      });
    },
  };
}

/** Red where payouts need a person, and where the process that should look at what is due does not. */
export function createPayoutsCheck({
  pool,
  ledger,
  payments,
}: Pick<HealthDeps, 'pool' | 'ledger'> & { payments: () => WorkflowStatus | undefined }): HealthCheck {
  return {
    name: 'payouts',
    check: async () => {
      const { leading, lastRoundAtMs } = payments() ?? { leading: false, lastRoundAtMs: undefined };
      const ageMs = lastRoundAtMs === undefined ? 0 : Date.now() - lastRoundAtMs;
      if (leading && ageMs > MAX_ROUND_AGE_MS) {
        return { ok: false, detail: `nobody has looked at what is due for ${Math.round(ageMs / 1_000)} s` };
      }
      const halted = await readHaltedPayouts({ pool, ledger });
      const refused = await readRefusedPayouts({ pool, ledger });
      const alarms: string[] = [];
      if (halted.length > 0) {
        const ids = halted.slice(0, MAX_NAMED).join(', ');
        alarms.push(`a coin was spent by somebody else, a person has to decide: ${ids}`);
      }
      if (refused.length > 0) {
        const named = refused.slice(0, MAX_NAMED).map(({ id, detail }) => `${id} (${detail})`);
        alarms.push(`the node refuses to take what is signed, a person has to look: ${named.join(', ')}`);
      }
      return alarms.length === 0
        ? { ok: true, detail: 'none is halted or refused' }
        : { ok: false, detail: alarms.join('; ') };
    },
  };
}
