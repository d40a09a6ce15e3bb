#!/usr/bin/env node
/**
 * A consumer of a ledger's events from Kafka that can prove that it missed nothing, and heals itself where it did. It writes each
 * event as a line to a file; put your own effect in `apply`.
 *
 *   npm install kafkajs@2.2.4 pg
 *   KAFKA_BROKERS=127.0.0.1:9092 DATABASE_URL=postgres://reader:…@…/tallystick LEDGER=main OUT=events.jsonl node consume-outbox.mjs
 *
 * The rule: positions are 1, 2, 3 … without gaps. What is at or below where we stand was applied before: drop it. What is directly
 * above is next: apply it. What is further above tells that something is missing: read that from the outbox first.
 */
import { appendFileSync, existsSync, readFileSync, truncateSync } from 'node:fs';
import { Kafka } from 'kafkajs';
import pg from 'pg';

const {
  KAFKA_BROKERS,
  KAFKA_TOPIC = 'tallystick.outbox',
  DATABASE_URL,
  LEDGER = 'main',
  OUT = 'events.jsonl',
} = process.env;
const GROUP = process.env.KAFKA_GROUP ?? `consume-outbox-${LEDGER}`;
const PAGE = 1000;
/** The outbox has more and Kafka sent nothing for so long: read it there. */
const SILENT_MS = Number(process.env.SILENT_MS ?? 2000);
const LOOK_MS = 500;

const database = new pg.Pool({ connectionString: DATABASE_URL, max: 2 });
// The server ended an idle connection: the next query makes a new one.
database.on('error', (error) => console.error(`database: ${error.message}`));

/** The effect and the position are one write: whenever this process dies, both are there or neither. */
let position = readPosition();
const counts = { applied: 0, healed: 0, gaps: 0, duplicates: 0 };

function apply(event) {
  if (event.position !== position + 1n) throw new Error(`${event.position} does not follow ${position}`);
  appendFileSync(OUT, `${JSON.stringify({ ...event, position: event.position.toString() })}\n`);
  position = event.position;
  counts.applied += 1;
}

function readPosition() {
  if (!existsSync(OUT)) return 0n;
  const text = readFileSync(OUT, 'utf8');
  const whole = text.slice(0, text.lastIndexOf('\n') + 1);
  // A line that was being written when the process died was not applied.
  if (whole.length < text.length) truncateSync(OUT, Buffer.byteLength(whole));
  const last = whole.trimEnd().split('\n').at(-1);
  return last ? BigInt(JSON.parse(last).position) : 0n;
}

/** Reads from the outbox what is missing up to `last` (to the end of the ledger where it is not given). */
async function heal(last) {
  for (;;) {
    const { rows } = await database.query(
      // Ordered by the column, not by its text: '10' comes before '9'.
      `SELECT o.position::text, id, stream, revision::text, type, schema_version AS "schemaVersion", data, metadata
       FROM outbox o WHERE ledger = $1 AND o.position > $2 AND ($3::bigint IS NULL OR o.position <= $3)
       ORDER BY o.position LIMIT ${PAGE}`,
      [LEDGER, position.toString(), last?.toString() ?? null],
    );
    for (const row of rows) apply({ ...row, position: BigInt(row.position) });
    counts.healed += rows.length;
    if (last === undefined ? rows.length < PAGE : position >= last) return;
    // Kafka can be a moment ahead of what a SELECT sees.
    if (rows.length === 0) await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

async function onMessage({ headers, value }) {
  const text = (name) => headers[name]?.toString();
  const found = BigInt(text('position'));
  if (found <= position) {
    counts.duplicates += 1;
    return;
  }
  if (found > position + 1n) {
    counts.gaps += 1;
    console.error(`gap: ${position + 1n} is missing, ${found} came`);
    await heal(found - 1n);
  }
  apply({
    position: found,
    id: text('id'),
    stream: text('stream'),
    revision: text('revision'),
    type: text('type'),
    schemaVersion: Number(text('schemaVersion')),
    data: JSON.parse(value.toString()),
    metadata: JSON.parse(text('metadata')),
  });
}

/** One thing at a time: a message and a look at the outbox must not both move the position. A failure ends the process: start it again. */
let busy = Promise.resolve();
function serially(work) {
  const done = busy.then(work);
  busy = done.catch(end);
  return done;
}

let behindSince;
async function lookForSilence() {
  const { rows } = await database.query('SELECT position::text FROM ledger_head WHERE ledger = $1', [LEDGER]);
  if (BigInt(rows[0]?.position ?? 0) <= position) behindSince = undefined;
  else if (behindSince === undefined || behindSince.position !== position)
    behindSince = { position, at: performance.now() };
  else if (performance.now() - behindSince.at > SILENT_MS) await heal();
}

function end(error) {
  console.error(error);
  process.exit(1);
}

await serially(() => heal());
console.error(`ledger ${LEDGER}: caught up at ${position}`);
setInterval(() => serially(lookForSilence), LOOK_MS);

const kafka = new Kafka({
  clientId: 'consume-outbox',
  brokers: KAFKA_BROKERS.split(','),
  retry: { retries: 20, maxRetryTime: 1000 },
});
const consumer = kafka.consumer({
  groupId: GROUP,
  maxWaitTimeInMs: 500,
  sessionTimeout: 10_000,
  retry: { restartOnFailure: async () => true },
});
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, () => {
    void serially(async () => {
      await consumer.disconnect();
      await database.end();
      console.error(JSON.stringify(counts));
      process.exit(0);
    });
  });
}
await consumer.connect();
await consumer.subscribe({ topic: KAFKA_TOPIC, fromBeginning: false });
await consumer.run({
  eachMessage: async ({ message }) => {
    if (message.key?.toString() === LEDGER) await serially(() => onMessage(message));
  },
});
