import { afterAll, beforeAll, expect, test } from 'vitest';
import { createTestDatabase } from '../../../test/support/database.js';
import type { TestDatabase } from '../../../test/support/database.js';
import { tellLog } from '../../../test/support/ledger-log.js';
import { accountOpened } from '../../../test/support/small-histories.js';
import { readCheckpoints } from '../checkpoint.js';
import { ensureTables } from '../ensure-tables.js';
import { readLog } from '../log-reader.js';
import { ProgressTracker } from '../progress.js';
import { defineProjection } from '../projection.js';
import type { Projection } from '../projection.js';
import { readSchema } from '../tables/identifiers.js';
import { appendTable } from '../tables/table-definition.js';
import { catchUpAside } from './catch-up-aside.js';
import { CATCH_UP_BATCH } from './gather-lane.js';
import { Lane } from './lane.js';

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());

/** Three batches: far behind, and several steps to go. */
const EVENTS = 3 * CATCH_UP_BATCH + 7;

/** Writes down every position that it was given. */
function recorder(name: string, check: (position: bigint) => void = () => undefined): Projection {
  return defineProjection({
    name,
    version: 1,
    tables: {
      seen: appendTable<{ position: bigint }>({
        name: `${name}_seen`,
        columns: { position: { type: 'bigint' } },
        key: ['position'],
        position: 'position',
      }),
    },
    load: () => Promise.resolve(),
    apply: ({ position }, { seen }) => {
      check(position);
      seen.append({ position });
    },
  });
}

/** A log, `ahead` at its end, and the others at its beginning. */
async function aheadOf(ledger: string, ahead: Projection, others: readonly Projection[]) {
  const { pool, ownerPool } = database;
  await tellLog(
    ownerPool,
    ledger,
    Array.from({ length: EVENTS }, (_, i) => accountOpened(`account-${i}`)),
  );
  const client = await pool.connect();
  const projections = [ahead, ...others];
  await ensureTables(client, ledger, projections);
  const main = new Lane({
    ledger,
    schema: readSchema(ledger),
    client,
    projections: [{ projection: ahead, generation: 0n }],
    position: 0n,
    context: { tip: null, policy: null },
    guarded: true,
  });
  while (main.position < BigInt(EVENTS)) {
    await main.apply(await readLog(client, ledger, main.position, CATCH_UP_BATCH));
  }
  const checkpoints = await readCheckpoints(pool, ledger);
  const behind = others.map((projection) => {
    const checkpoint = checkpoints.get(projection.name);
    if (!checkpoint) throw new Error('there is no checkpoint');
    return { projection, checkpoint };
  });
  return { main, behind, progress: new ProgressTracker(pool, ledger, projections), end: () => client.release() };
}

/** How many rows, and whether they are the positions from 1 on. */
async function seen(ledger: string, name: string): Promise<{ n: bigint; last: bigint | null }> {
  const { rows } = await database.pool.query<{ n: bigint; last: bigint | null }>(
    `SELECT count(*) AS n, max(position) AS last FROM read_${ledger}.${name}_seen`,
  );
  const [row] = rows;
  if (!row) throw new Error('no answer');
  return row;
}

test('those that are far behind come within a batch of the main lane, each event once, and the progress is told', async () => {
  const stage = await aheadOf('near', recorder('ahead'), [recorder('one'), recorder('two')]);
  try {
    const { pool } = database;
    const { behind, main, progress } = stage;
    const none = new AbortController().signal;
    expect(await catchUpAside({ pool, ledger: 'near' }, behind, main, progress, none)).toEqual([]);
    const reached = BigInt(2 * CATCH_UP_BATCH + CATCH_UP_BATCH);
    for (const name of ['one', 'two']) {
      expect(await seen('near', name)).toEqual({ n: reached, last: reached });
      expect((await readCheckpoints(pool, 'near')).get(name)?.position).toBe(reached);
      expect(progress.reached([name])).toBe(reached);
    }
    // The main lane did not move, and can: what was done aside is not its own.
    expect(main.position).toBe(BigInt(EVENTS));
  } finally {
    stage.progress.close();
    stage.end();
  }
});

test('a poison event on the way halts that one; the other goes on, and the halt is handed back', async () => {
  const poison = BigInt(CATCH_UP_BATCH + 3);
  const picky = recorder('picky', (position) => {
    if (position === poison) throw new Error('not this one');
  });
  const stage = await aheadOf('poisoned', recorder('ahead'), [picky, recorder('healthy')]);
  try {
    const { pool } = database;
    const none = new AbortController().signal;
    const halts = await catchUpAside({ pool, ledger: 'poisoned' }, stage.behind, stage.main, stage.progress, none);
    expect(halts).toEqual([{ name: 'picky', haltedAt: poison, reason: 'not this one' }]);
    expect(await seen('poisoned', 'picky')).toEqual({ n: poison - 1n, last: poison - 1n });
    expect((await seen('poisoned', 'healthy')).n).toBeGreaterThanOrEqual(BigInt(EVENTS - CATCH_UP_BATCH));
    expect((await readCheckpoints(pool, 'poisoned')).get('picky')).toMatchObject({ state: 'halted', haltedAt: poison });
  } finally {
    stage.progress.close();
    stage.end();
  }
});

test('told to stop it stops after the batch at hand, and what it has written stands', async () => {
  const abort = new AbortController();
  const stopping = recorder('stopping', (position) => {
    if (position === 5n) abort.abort();
  });
  const stage = await aheadOf('stopped', recorder('ahead'), [stopping]);
  try {
    const { pool } = database;
    const { behind, main, progress } = stage;
    expect(await catchUpAside({ pool, ledger: 'stopped' }, behind, main, progress, abort.signal)).toEqual([]);
    const batch = BigInt(CATCH_UP_BATCH);
    expect(await seen('stopped', 'stopping')).toEqual({ n: batch, last: batch });
    expect((await readCheckpoints(pool, 'stopped')).get('stopping')?.position).toBe(batch);
  } finally {
    stage.progress.close();
    stage.end();
  }
});
