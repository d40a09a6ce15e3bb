import { describe, expect, it } from 'vitest';
import { createMetrics, type Metrics } from './metrics.js';

async function scraped(metrics: Metrics): Promise<string[]> {
  const { text } = await metrics.scrape();
  return text.split('\n').filter((line) => /^tallystick_(known|head|scrape)/.test(line));
}

describe('a scrape', () => {
  it('is answered without what cannot be asked for, counts that, and has it again when it can be asked', async () => {
    const metrics = createMetrics({ refreshTimeoutMs: 50 });
    const measured = metrics.ofLedger('main');
    let head: number | undefined;
    let ask: () => Promise<number> = () => Promise.resolve(7);
    measured.observe('known', 'Known without asking.', [], () => [{ value: 1 }]);
    measured.observe('head', 'Asked for.', [], () => (head === undefined ? [] : [{ value: head }]));
    measured.beforeScrape(
      async () => {
        head = await ask();
      },
      () => {
        head = undefined;
      },
    );
    const known = 'tallystick_known{ledger="main"} 1';
    expect(await scraped(metrics)).toEqual([
      'tallystick_scrape_failures_total 0',
      known,
      'tallystick_head{ledger="main"} 7',
    ]);
    ask = () => Promise.reject(new Error('away'));
    expect(await scraped(metrics)).toEqual(['tallystick_scrape_failures_total 1', known]);
    // It neither answers nor fails.
    ask = () => new Promise(() => undefined);
    expect(await scraped(metrics)).toEqual(['tallystick_scrape_failures_total 2', known]);
    ask = () => Promise.resolve(8);
    expect(await scraped(metrics)).toEqual([
      'tallystick_scrape_failures_total 2',
      known,
      'tallystick_head{ledger="main"} 8',
    ]);
  });
});
