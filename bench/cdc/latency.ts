import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { BenchRow } from '../bench-row.js';
import { fundAccounts } from '../fund-accounts.js';
import { median } from '../median-times.js';
import { openPipeline, untilFromKafka } from './pipeline.js';

const LEDGER = 'latency';
const RATE_PER_SECOND = 50;
const GOAL = 1.3;

interface Percentiles {
  p50: number;
  p99: number;
}

interface Measured {
  visible: Percentiles;
  bare: Percentiles;
}

/**
 * From the acknowledgement of a command, which is its commit, to the answer of a GraphQL query that includes it, at 50 commands a second:
 * through Debezium, Kafka and a projector, with the API in another process. Against the bare pipeline in the same moments: to a consumer
 * that does nothing.
 */
export async function runCdcLatencyBench({ quick }: { quick: boolean }): Promise<BenchRow[]> {
  const rounds = quick ? 1 : 5;
  const count = RATE_PER_SECOND * (quick ? 10 : 20);
  const pipeline = await openPipeline();
  try {
    const own = { LEDGER, KAFKA_GROUP: LEDGER };
    const api = await pipeline.start({ ...own, ROLE: 'api,follower,workflow' });
    const projector = await pipeline.start({ ...own, ROLE: 'projector' });
    await untilFromKafka(projector.url);
    await fundAccounts(api.url);
    const args = [api.url, pipeline.brokers, pipeline.topic, LEDGER, String(RATE_PER_SECOND)];
    // Compilers, caches, plans, of three programs.
    await runClient([...args, String(RATE_PER_SECOND * 10)]);
    const measured: Measured[] = [];
    for (let round = 0; round < rounds; round += 1) measured.push(await runClient([...args, String(count)]));
    return (['p50', 'p99'] as const).map((percentile) => {
      const of = (what: keyof Measured): number => median(measured.map((each) => each[what][percentile]));
      const ratio = median(measured.map(({ visible, bare }) => visible[percentile] / bare[percentile]));
      return {
        bench: 'cdc latency',
        measure: `commit → in a GraphQL answer, through Debezium and Kafka, ${percentile}, at ${RATE_PER_SECOND} commands/s`,
        value: `${of('visible').toFixed(1)} ms`,
        reference: `${of('bare').toFixed(1)} ms to a bare consumer`,
        ratio,
        goal: `≤ ${GOAL}`,
        met: ratio <= GOAL,
        note: `median of ${rounds} rounds of ${count} commands`,
      };
    });
  } finally {
    await pipeline.close();
  }
}

async function runClient(args: readonly string[]): Promise<Measured> {
  const program = fileURLToPath(new URL('./latency-client.js', import.meta.url));
  const child = spawn(process.execPath, [program, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  child.stdout.on('data', (data: Buffer) => (output += data.toString()));
  const code = await new Promise((resolve, reject) => {
    child.on('close', resolve);
    child.on('error', reject);
  });
  if (code !== 0) throw new Error(`the client ended with ${String(code)}`);
  return JSON.parse(output) as Measured;
}
