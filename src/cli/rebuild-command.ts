import { ConfigError } from '../platform/config.js';
import { ALL_PROJECTIONS } from '../projections/all-projections.js';
import { rebuildProjections } from '../projections/rebuild/rebuild-projections.js';
import { existingLedger } from './one-ledger.js';
import { withDatabase } from './with-database.js';

const CONNECTIONS = 12;

/** `tallystick rebuild [projection…]`: while a ledger runs, too. */
export async function runRebuild(names: readonly string[], options: { json?: boolean }): Promise<void> {
  const known = ALL_PROJECTIONS.map(({ name }) => name);
  const unknown = names.filter((name) => !known.includes(name));
  if (unknown.length > 0)
    throw new ConfigError('projection', `no ${unknown.join(', ')}: there are ${known.join(', ')}`);
  const json = options.json === true;
  await withDatabase({ label: 'rebuild', connections: CONNECTIONS, json }, async ({ config, pool, progress }) => {
    const started = Date.now();
    let position = 0n;
    await rebuildProjections({
      pool,
      ledger: await existingLedger(pool, config),
      projections: ALL_PROJECTIONS,
      ...(names.length > 0 ? { names } : {}),
      onProgress: (news) => {
        position = news.position;
        progress.update(Number(news.position), Number(news.head), [news.phase, news.projection ?? ''].join(' ').trim());
      },
    });
    progress.stop();
    const rebuilt = names.length > 0 ? names : known;
    const seconds = (Date.now() - started) / 1000;
    process.stdout.write(
      json
        ? `${JSON.stringify({ rebuilt, position: position.toString(), seconds })}\n`
        : `rebuilt ${rebuilt.join(', ')} from ${position} events in ${seconds.toFixed(1)} s\n`,
    );
  });
}
