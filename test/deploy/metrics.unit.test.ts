import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { z } from 'zod';
import { createMetrics } from '../../src/platform/metrics.js';
import { ROOT } from './compose-file.js';

/** Names that the program registers, from its own code, with those that every Node process has. */
async function registered(): Promise<ReadonlySet<string>> {
  const { text } = await createMetrics().scrape();
  const ofNode = [...text.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name ?? '');
  const files = readdirSync(join(ROOT, 'src'), { recursive: true, encoding: 'utf8' });
  const ours = files
    .filter((file) => file.endsWith('.ts') && !file.endsWith('.test.ts'))
    .flatMap((file) => [
      ...readFileSync(join(ROOT, 'src', file), 'utf8').matchAll(/\b(?:observe|counter)\(\s*'([a-z0-9_]+)'/g),
    ])
    .map(([, name]) => `tallystick_${name ?? ''}`);
  return new Set([...ofNode, ...ours]);
}

const namesIn = (expression: string): string[] => expression.match(/\btallystick_[a-z0-9_]+/g) ?? [];
const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8');

const dashboardSchema = z.object({
  uid: z.string(),
  panels: z.array(
    z.object({
      id: z.number(),
      type: z.string(),
      title: z.string(),
      datasource: z.object({ uid: z.string() }).optional(),
      targets: z.array(z.object({ expr: z.string() })).default([]),
      gridPos: z.object({ x: z.number(), y: z.number(), w: z.number(), h: z.number() }),
    }),
  ),
});
const dashboard = dashboardSchema.parse(JSON.parse(read('deploy/grafana/dashboards/tallystick.json')));

const rulesSchema = z.object({
  groups: z.array(
    z.object({
      rules: z.array(
        z.strictObject({
          alert: z.string(),
          expr: z.string(),
          for: z.string().optional(),
          labels: z.object({ severity: z.enum(['page', 'ticket']) }),
          annotations: z.object({ summary: z.string() }),
        }),
      ),
    }),
  ),
});
const rules = ['alerts.yml', 'alerts-live-network.yml'].flatMap((file) =>
  rulesSchema.parse(parse(read(`deploy/prometheus/${file}`))).groups.flatMap((group) => group.rules),
);

describe('the dashboard', () => {
  it('asks for metrics that the program has', async () => {
    const names = await registered();
    const asked = dashboard.panels.flatMap(({ targets }) => targets.flatMap(({ expr }) => namesIn(expr)));
    expect(asked.length).toBeGreaterThan(20);
    expect(asked.filter((name) => !names.has(name))).toEqual([]);
  });

  it('shows each leg', () => {
    const asked = new Set(dashboard.panels.flatMap(({ targets }) => targets.flatMap(({ expr }) => namesIn(expr))));
    for (const name of [
      'outbox_head_position',
      'slot_lag_bytes',
      'kafka_lag_messages',
      'projection_position',
      'projection_lag_events',
      'feed_gaps_healed_total',
      'feed_duplicates_dropped_total',
      'oldest_unprojected_event_age_seconds',
      'payouts_halted',
      'withdrawals_overdue',
    ]) {
      expect(asked, name).toContain(`tallystick_${name}`);
    }
  });

  it('is one that Grafana can lay out, from the source that is provisioned', () => {
    const { panels } = dashboard;
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
    const { datasources } = parse(read('deploy/grafana/provisioning/datasources/prometheus.yml')) as {
      datasources: { uid: string }[];
    };
    const cells = new Set<string>();
    for (const { title, datasource, targets, gridPos } of panels) {
      if (targets.length > 0) expect(datasource?.uid, title).toBe(datasources[0]?.uid);
      expect(gridPos.x + gridPos.w, title).toBeLessThanOrEqual(24);
      for (let x = gridPos.x; x < gridPos.x + gridPos.w; x += 1) {
        for (let y = gridPos.y; y < gridPos.y + gridPos.h; y += 1) {
          expect(cells.has(`${x},${y}`), `${title} lies on another panel`).toBe(false);
          cells.add(`${x},${y}`);
        }
      }
    }
  });
});

describe('the alarms', () => {
  it('look at metrics that the program has', async () => {
    const names = await registered();
    expect(rules.length).toBeGreaterThan(15);
    for (const { alert, expr } of rules) {
      expect(
        namesIn(expr).filter((name) => !names.has(name)),
        alert,
      ).toEqual([]);
      expect(namesIn(expr).length > 0 || expr.includes('up{'), alert).toBe(true);
    }
  });

  it('are each explained, and none is explained that is not there', () => {
    const explained = [...read('docs/deploy.md').matchAll(/^\| `(Tallystick[A-Za-z]+)` /gm)].map(([, name]) => name);
    expect([...explained].sort()).toEqual(rules.map(({ alert }) => alert).sort());
  });
});
