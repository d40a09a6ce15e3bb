import type pg from 'pg';
import { NO_OBSERVER } from '../../src/outbox/kafka/feed-observer.js';
import { openKafkaSource, type KafkaSource } from '../../src/outbox/kafka/kafka-source.js';
import { createLedgerFeed } from '../../src/outbox/kafka/ledger-feed.js';
import type { Outbox } from '../../src/outbox/outbox.js';
import { createPostgresOutbox } from '../../src/outbox/postgres-outbox.js';
import { ALL_PROJECTIONS } from '../../src/projections/all-projections.js';
import { rebuildProjections } from '../../src/projections/rebuild/rebuild-projections.js';
import { createProjectionRunner } from '../../src/projections/runner/projection-runner.js';
import type { BenchRow } from '../bench-row.js';
import { median } from '../median-times.js';
import { logLines, writeLines } from '../rebuild-log.js';
import { openPipeline, untilProjected, type Pipeline } from './pipeline.js';

const MISSING = 10_000;
/** Events that come by Kafka before the hole: the accounts of the log, and one after. */
const BEFORE = 10_100;
const BATCH = 1000;
const GOAL_MS = 1000;

interface Projected {
  feed: ReturnType<typeof createLedgerFeed>;
  gaps: () => number;
  healed: () => number;
  silences: () => number;
  stop(): Promise<void>;
}

/**
 * Ten thousand positions that Kafka never delivers: how long from the commit of what shows the hole until they are in all read models,
 * against reading the same events from the outbox and applying them where nothing has to be noticed. With an event behind the hole, which
 * shows it; and with none, so that only silence does.
 */
export async function runGapBench({ quick }: { quick: boolean }): Promise<BenchRow[]> {
  const rounds = quick ? 1 : 5;
  const pipeline = await openPipeline();
  try {
    const gaps: number[] = [];
    const silences: number[] = [];
    const plain: number[] = [];
    // The first round is warm-up.
    for (let round = 0; round <= rounds; round += 1) {
      const read = await timePlain(pipeline, `plain-${round}`);
      const gap = await timeHole(pipeline, `gap-${round}`, true);
      const silence = await timeHole(pipeline, `silence-${round}`, false);
      if (round === 0) continue;
      plain.push(read);
      gaps.push(gap);
      silences.push(silence);
    }
    const reference = `${median(plain).toFixed(0)} ms to read and apply them`;
    const beyond = median(gaps.map((value, round) => value - (plain[round] ?? NaN)));
    const silent = median(silences.map((value, round) => value - (plain[round] ?? NaN)));
    return [
      {
        bench: 'gap',
        measure: `${MISSING.toLocaleString('en')} positions that Kafka left out, noticed and in all read models`,
        value: `${median(gaps).toFixed(0)} ms, ${beyond.toFixed(0)} ms beyond`,
        reference,
        ratio: median(gaps) / median(plain),
        goal: `≤ ${GOAL_MS} ms beyond`,
        met: beyond <= GOAL_MS,
        note: `median of ${rounds} rounds, one process, PostgreSQL, broker and Connect on the same cores`,
      },
      {
        bench: 'gap',
        measure: 'the same where nothing follows the hole, so that only silence shows it',
        value: `${median(silences).toFixed(0)} ms, ${silent.toFixed(0)} ms beyond`,
        reference,
        ratio: median(silences) / median(plain),
        goal: 'stated',
        met: true,
      },
    ];
  } finally {
    await pipeline.close();
  }
}

/** Reads them from the outbox and applies them, with what it has in memory and nothing to notice: the way to the outbox opens. */
async function timePlain(pipeline: Pipeline, ledger: string): Promise<number> {
  const { pool } = pipeline;
  const lines = linesOf(ledger);
  await writeAll(pool, lines(BEFORE));
  const outbox = createPostgresOutbox({ pool, ledger });
  let gate = Promise.resolve();
  let open: () => void = () => undefined;
  const gated: Outbox = {
    ...outbox,
    read: async (...args) => {
      await gate;
      return outbox.read(...args);
    },
  };
  const projected = await project(pipeline, ledger, { outbox: gated });
  await untilProjected(pool, [ledger], BigInt(BEFORE));
  gate = new Promise((resolve) => (open = resolve));
  await writeAll(pool, lines(MISSING + 1));
  const began = performance.now();
  open();
  projected.feed.wake(BigInt(BEFORE + MISSING + 1));
  await untilProjected(pool, [ledger], BigInt(BEFORE + MISSING + 1));
  const ms = performance.now() - began;
  await projected.stop();
  return ms;
}

async function timeHole(pipeline: Pipeline, ledger: string, isFollowed: boolean): Promise<number> {
  const { pool, brokers, topic } = pipeline;
  const lines = linesOf(ledger);
  await writeAll(pool, lines(BEFORE));
  const source = openKafkaSource({ brokers: [brokers], topic, partitions: 12, group: ledger });
  const projected = await project(pipeline, ledger, { source });
  try {
    await untilProjected(pool, [ledger], BigInt(BEFORE));
    while (projected.feed.status().source !== 'kafka') await new Promise((resolve) => setTimeout(resolve, 20));
    await pool.query('ALTER PUBLICATION tallystick DROP TABLE outbox');
    try {
      await writeAll(pool, lines(MISSING));
    } finally {
      await pool.query('ALTER PUBLICATION tallystick ADD TABLE outbox');
    }
    const began = performance.now();
    if (isFollowed) await writeAll(pool, lines(1));
    await untilProjected(pool, [ledger], BigInt(BEFORE + MISSING + (isFollowed ? 1 : 0)));
    const ms = performance.now() - began;
    const seen = isFollowed ? projected.gaps() : projected.silences();
    if (seen === 0) throw new Error(`nothing was missing: ${projected.healed()} events were read from the outbox`);
    return ms;
  } finally {
    await projected.stop();
    await source.close();
  }
}

async function project(
  { pool }: Pipeline,
  ledger: string,
  { source, outbox = createPostgresOutbox({ pool, ledger }) }: { source?: KafkaSource; outbox?: Outbox },
): Promise<Projected> {
  let gaps = 0;
  let healed = 0;
  let silences = 0;
  const observer = {
    ...NO_OBSERVER,
    gapFound: () => (gaps += 1),
    eventsHealed: (_: string, count: number) => (healed += count),
    silent: () => (silences += 1),
  };
  const feed = createLedgerFeed({ ledger, outbox, observer });
  source?.attach(feed);
  const runner = createProjectionRunner({
    pool,
    ledger,
    feed,
    projections: ALL_PROJECTIONS,
    rebuild: (names) => rebuildProjections({ pool, ledger, projections: ALL_PROJECTIONS, names }),
  });
  await runner.start();
  return {
    feed,
    gaps: () => gaps,
    healed: () => healed,
    silences: () => silences,
    stop: () => runner.stop(),
  };
}

/** The log of a ledger, some lines at a time. */
function linesOf(ledger: string): (count: number) => string[] {
  const lines = logLines(ledger, BEFORE + MISSING + 1)[Symbol.iterator]();
  return (count) =>
    Array.from({ length: count }, () => {
      const next = lines.next();
      if (next.done === true) throw new Error('the log has ended');
      return next.value;
    });
}

async function writeAll(pool: pg.Pool, lines: readonly string[]): Promise<void> {
  const client = await pool.connect();
  try {
    for (let at = 0; at < lines.length; at += BATCH) await writeLines(client, lines.slice(at, at + BATCH));
  } finally {
    client.release();
  }
}
