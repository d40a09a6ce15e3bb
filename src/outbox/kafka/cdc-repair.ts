import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { queryRows } from '../../eventstore/query-rows.js';
import { FatalError, RetryableError } from '../../platform/errors.js';
import { isLost, type CdcTarget, type SlotRow } from './cdc-health.js';
import { createConnectApi, type ConnectApi } from './connect-api.js';
import { ensureTopics } from './ensure-topic.js';
import { createKafka } from './kafka-client.js';

/** A task stops in a second, starts in a few; a busy machine takes longer. */
const STEP_TIMEOUT_MS = 90_000;
const POLL_MS = 250;

export interface RepairOptions {
  /** Makes a new slot also where the one that is there can be read from. */
  force?: boolean;
  onStep?: (line: string) => void;
}

/**
 * Gets a connector going again that does not: restarts what has failed; where the slot is gone or was invalidated, makes a
 * new one. What was committed while there was none never comes by Kafka: consumers find the hole, and read it from the outbox.
 *
 * @returns false where there was nothing to repair
 * @throws FatalError where it needs a person: no right to drop the slot, no such connector, somebody else reads from the slot
 * @throws RetryableError where Connect or the database is away, or the connector does not come up
 */
export async function repairCdc(target: CdcTarget, options: RepairOptions = {}): Promise<boolean> {
  const { onStep = () => undefined, force = false } = options;
  if (target.connectUrl === undefined) throw new FatalError('CONNECT_URL must be set to repair the connector');
  const connect = createConnectApi(target.connectUrl, target.connector);
  const status = await connect.status();
  if (status === undefined) {
    throw new FatalError(`Kafka Connect has no connector '${target.connector}': register debezium/connector.json`);
  }
  if (target.kafka !== undefined) {
    const admin = createKafka({ brokers: target.kafka.brokers, clientId: 'tallystick-cdc-repair' }).admin();
    try {
      await admin.connect();
      const { created } = await ensureTopics(admin, target.kafka);
      if (created) onStep(`made topic ${target.kafka.topic}`);
    } finally {
      await admin.disconnect();
    }
  }
  const slot = await readSlot(target);
  const healthy = slot !== undefined && !isLost(slot);
  if (healthy && !force) {
    if (await streams(target, connect)) return false;
    await startAgain(connect, status.state, onStep);
  } else {
    onStep(`stopping connector ${target.connector}`);
    await connect.stop();
    await dropSlot(target, onStep);
    onStep('forgetting where it was');
    await patiently(() => connect.deleteOffsets());
    onStep('starting it again');
    await connect.resume();
  }
  await until(() => streams(target, connect), 'the connector did not come up: see the log of Kafka Connect');
  onStep(`connector ${target.connector} streams from slot ${target.slot}`);
  return true;
}

async function startAgain(connect: ConnectApi, state: string, onStep: (line: string) => void): Promise<void> {
  if (state === 'STOPPED' || state === 'PAUSED') {
    onStep(`resuming the connector, which is ${state}`);
    await connect.resume();
    return;
  }
  onStep('restarting what has failed');
  await connect.restartFailed();
}

async function dropSlot(target: CdcTarget, onStep: (line: string) => void): Promise<void> {
  // The connector's session may live a moment longer than its task.
  let slot: SlotRow | undefined;
  await until(async () => {
    slot = await readSlot(target);
    return slot?.active !== true;
  }, `slot ${target.slot} is read by somebody else than the connector: stop that first`);
  if (slot === undefined) return;
  onStep(`dropping slot ${target.slot}`);
  const query = { name: 'drop-slot', text: 'SELECT pg_drop_replication_slot($1)', values: [target.slot] };
  await queryRows(target.pool, query, `dropping slot ${target.slot} (needs a user with REPLICATION)`);
}

async function streams(target: CdcTarget, connect: ConnectApi): Promise<boolean> {
  const slot = await readSlot(target);
  if (slot?.active !== true || isLost(slot)) return false;
  const status = await connect.status();
  return status?.state === 'RUNNING' && status.tasks.some(({ state }) => state === 'RUNNING');
}

async function readSlot({ pool, slot }: { pool: pg.Pool; slot: string }): Promise<SlotRow | undefined> {
  const text = 'SELECT to_jsonb(s) AS slot FROM pg_replication_slots s WHERE slot_name = $1';
  const [row] = await queryRows<{ slot: SlotRow }>(
    pool,
    { name: 'read-slot', text, values: [slot] },
    'look at the replication slot',
  );
  return row?.slot;
}

/** Connect refuses to delete offsets until the task has ended. */
async function patiently(attempt: () => Promise<void>): Promise<void> {
  let last: unknown;
  await until(
    async () => {
      try {
        await attempt();
        return true;
      } catch (error) {
        if (!(error instanceof RetryableError) && !(error instanceof FatalError)) throw error;
        last = error;
        return false;
      }
    },
    () => (last instanceof Error ? last.message : 'Kafka Connect refuses'),
  );
}

async function until(condition: () => Promise<boolean>, failure: string | (() => string)): Promise<void> {
  const deadline = performance.now() + STEP_TIMEOUT_MS;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new RetryableError(typeof failure === 'string' ? failure : failure());
    await sleep(POLL_MS);
  }
}
