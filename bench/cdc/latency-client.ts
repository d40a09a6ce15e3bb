import { randomUUID } from 'node:crypto';
import { Kafka, logLevel } from 'kafkajs';
import { agent, post } from '../keep-alive-post.js';

/**
 * Client of the latency bench, in a process of its own. Sends transfers at a fixed rate. From the acknowledgement of each it measures two things:
 * how long until a query that asks for its position is answered, and how long until a bare consumer of the topic, in this process too,
 * has its message. Started with the ledger's URL, brokers, topic, ledger, rate per second and how many; prints one line of JSON.
 */
const [url, brokers, topic, ledger, rate, count] = process.argv.slice(2);
if (url === undefined || brokers === undefined || topic === undefined || ledger === undefined) {
  throw new Error('usage: latency-client <url> <brokers> <topic> <ledger> <rate> <count>');
}
const port = Number(new URL(url).port);
const ACCOUNTS = 20;
const QUERY = 'query ($id: ID!) { account(id: $id) { availableSats } }';

/** When the bare consumer had the message of a position. */
const arrived = new Map<string, number>();
const kafka = new Kafka({ brokers: brokers.split(','), clientId: 'bench', logLevel: logLevel.ERROR });
const consumer = kafka.consumer({ groupId: `bare-${randomUUID()}`, maxWaitTimeInMs: 500, minBytes: 1 });
const joined = new Promise<void>((resolve) => {
  consumer.on('consumer.group_join', () => {
    resolve();
  });
});
await consumer.connect();
await consumer.subscribe({ topic, fromBeginning: false });
await consumer.run({
  autoCommit: false,
  eachMessage: ({ message }) => {
    const position = message.headers?.['position'];
    if (message.key?.toString() === ledger && position !== undefined) arrived.set(String(position), performance.now());
    return Promise.resolve();
  },
});
await joined;
// The first fetch may begin at an offset that is still looked up.
await new Promise((resolve) => setTimeout(resolve, 2000));
process.stdout.write(`${JSON.stringify(await run(Number(rate), Number(count)))}\n`);
agent.destroy();
await consumer.disconnect();

async function run(ratePerSecond: number, commands: number): Promise<object> {
  const prefix = randomUUID();
  const acknowledged = new Map<string, number>();
  const visible: number[] = [];
  const running: Promise<void>[] = [];
  const started = performance.now();
  for (let n = 0; n < commands; n += 1) {
    const wait = started + (n * 1000) / ratePerSecond - performance.now();
    if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
    running.push(
      (async () => {
        const to = `account-${(n + 1) % ACCOUNTS}`;
        const transfer = { fromAccountId: `account-${n % ACCOUNTS}`, toAccountId: to, amountSats: '1' };
        const key = { 'idempotency-key': `${prefix}-${n}` };
        const sent = await post(port, '/v1/transfers', JSON.stringify(transfer), key);
        if (sent.status !== 201) throw new Error(`transfer answered ${sent.status}: ${sent.body}`);
        const at = performance.now();
        const { position } = JSON.parse(sent.body) as { position: string };
        acknowledged.set(position, at);
        const query = JSON.stringify({ query: QUERY, variables: { id: to } });
        const answer = await post(port, '/graphql', query, { 'ledger-min-position': position });
        visible.push(performance.now() - at);
        const reached = /"position":"(\d+)"/.exec(answer.body)?.[1] ?? '0';
        if (answer.status !== 200 || BigInt(reached) < BigInt(position))
          throw new Error(`read answered ${answer.body}`);
      })(),
    );
  }
  await Promise.all(running);
  const deadline = performance.now() + 30_000;
  while ([...acknowledged.keys()].some((position) => !arrived.has(position))) {
    if (performance.now() > deadline) throw new Error('the bare consumer has not got every message');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  const bare = [...acknowledged].map(([position, at]) => (arrived.get(position) ?? NaN) - at);
  return { visible: percentiles(visible), bare: percentiles(bare) };
}

function percentiles(values: number[]): { p50: number; p99: number } {
  const sorted = Float64Array.from(values).sort();
  const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? NaN;
  return { p50: at(0.5), p99: at(0.99) };
}
