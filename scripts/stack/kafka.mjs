import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { createKafka } from '../../dist/outbox/kafka/kafka-client.js';
import { ensureTopics } from '../../dist/outbox/kafka/ensure-topic.js';
import { javaArgs, writeProperties } from './jvm.mjs';
import { findRunning, startDetached, StackError, stopService, untilReady } from './processes.mjs';

const HEAP_MB = 192;
const MAIN = 'kafka.Kafka';

/** One broker, which is its own controller, with the outbox's topic made. */
export const kafka = {
  name: 'kafka',
  title: 'Kafka broker',
  main: MAIN,
  ports: ['kafka', 'controller'],

  running: (stack) => findRunning(stack.dir, 'kafka'),

  async start(stack, keepTo) {
    const { dir, state, options } = stack;
    const file = join(dir, 'server.properties');
    const data = join(dir, 'kafka');
    const { kafka: port, controller } = state.ports;
    writeProperties('server.properties', file, {
      listeners: `PLAINTEXT://127.0.0.1:${port},CONTROLLER://127.0.0.1:${controller}`,
      'advertised.listeners': `PLAINTEXT://127.0.0.1:${port}`,
      'controller.quorum.voters': `1@127.0.0.1:${controller}`,
      'log.dirs': data,
      ...options.brokerSettings,
    });
    const java = (main, args, keep) =>
      javaArgs({ dir, heapMb: HEAP_MB, quickStart: options.quickStart, main, args, keepTo: keep });
    if (!existsSync(join(data, 'meta.properties'))) {
      const args = java('kafka.tools.StorageTool', ['format', '-t', state.clusterId, '-c', file]);
      const formatted = spawnSync('java', args, { encoding: 'utf8', cwd: dir });
      if (formatted.status !== 0) throw new StackError(`Kafka's storage could not be formatted: ${formatted.stderr}`);
    }
    startDetached(dir, 'kafka', 'java', java(MAIN, [file], keepTo));
    await untilReady(dir, 'kafka', () => withAdmin(stack, (admin) => admin.listTopics()));
    await withAdmin(stack, (admin) => ensureTopics(admin, { topic: options.topic, partitions: options.partitions }));
  },

  stop: (stack, signal) => stopService(stack.dir, 'kafka', signal),
};

async function withAdmin(stack, use) {
  const admin = createKafka({
    brokers: [`127.0.0.1:${stack.state.ports.kafka}`],
    clientId: 'tallystick-stack',
    retries: 1,
  }).admin();
  try {
    await admin.connect();
    return await use(admin);
  } finally {
    await admin.disconnect();
  }
}
