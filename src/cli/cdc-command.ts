import { checkCdc, type CdcFinding, type CdcTarget } from '../outbox/kafka/cdc-health.js';
import { repairCdc } from '../outbox/kafka/cdc-repair.js';
import { ensureTopics } from '../outbox/kafka/ensure-topic.js';
import { createKafka } from '../outbox/kafka/kafka-client.js';
import { setUpCdc } from '../outbox/kafka/set-up-cdc.js';
import { ConfigError, readConfig, type Config } from '../platform/config.js';
import { createPool } from '../platform/postgres/pool.js';
import { migrate } from '../platform/postgres/migrate.js';
import { EXIT_FAILED } from './exit.js';

/** Shorter ones can be guessed. */
const MIN_PASSWORD_LENGTH = 16;

const SIGNS: Readonly<Record<CdcFinding['state'], string>> = {
  ok: 'ok     ',
  warning: 'WARNING',
  wrong: 'WRONG  ',
  unknown: '?      ',
};

/** `tallystick cdc check`: exit code 1 where something is wrong. */
export async function runCdcCheck(options: { json?: boolean }): Promise<void> {
  await withTarget(async (target) => {
    const findings = await checkCdc(target);
    for (const finding of findings) {
      const { part, state, detail, remedy } = finding;
      const text = `${SIGNS[state]} ${part}: ${detail}${remedy === undefined ? '' : `\n          to do: ${remedy}`}`;
      process.stdout.write(`${options.json === true ? JSON.stringify(finding) : text}\n`);
    }
    if (findings.some(({ state }) => state === 'wrong')) process.exitCode = EXIT_FAILED;
  });
}

/** `tallystick cdc repair`. */
export async function runCdcRepair(options: { json?: boolean; force?: boolean }): Promise<void> {
  const say = (line: string): void => {
    process.stdout.write(`${options.json === true ? JSON.stringify({ step: line }) : line}\n`);
  };
  await withTarget(async (target) => {
    const repaired = await repairCdc(target, { force: options.force === true, onStep: say });
    if (!repaired) say('nothing to repair: the connector streams (--force makes a new slot all the same)');
  });
}

/** `tallystick cdc setup`: what PostgreSQL and Kafka need before the connector is started. May be run again. */
export async function runCdcSetup(options: { json?: boolean }): Promise<void> {
  const config = readConfig(process.env);
  const url = databaseOf(config);
  const password = process.env['CDC_PASSWORD'] ?? '';
  // Never repeated in the message.
  if (password.length < MIN_PASSWORD_LENGTH) {
    throw new ConfigError(
      'CDC_PASSWORD',
      `must be set, to at least ${MIN_PASSWORD_LENGTH} characters: the connector's password`,
    );
  }
  const say = (line: string): void => {
    process.stdout.write(`${options.json === true ? JSON.stringify({ step: line }) : line}\n`);
  };
  await migrate(url);
  await setUpCdc(url, password);
  say('role cdc may stream, publication tallystick holds the outbox');
  if (config.kafka === undefined) return;
  const admin = createKafka({ brokers: config.kafka.brokers, clientId: 'tallystick-cdc-setup' }).admin();
  try {
    await admin.connect();
    const { partitions, created } = await ensureTopics(admin, config.kafka);
    say(`topic ${config.kafka.topic} ${created ? 'made' : 'is there'}, with ${partitions} partitions`);
  } finally {
    await admin.disconnect();
  }
}

async function withTarget(use: (target: CdcTarget) => Promise<void>): Promise<void> {
  const config = readConfig(process.env);
  const pool = createPool(databaseOf(config), { max: 1, applicationName: 'tallystick-cdc' });
  try {
    await use({ pool, kafka: config.kafka, ...config.cdc });
  } finally {
    await pool.end();
  }
}

function databaseOf({ databaseUrl }: Config): string {
  if (databaseUrl === undefined) {
    throw new ConfigError('DATABASE_URL', 'must be set: the embedded PostgreSQL streams nothing');
  }
  return databaseUrl;
}
