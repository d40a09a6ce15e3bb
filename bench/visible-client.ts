import { randomUUID } from 'node:crypto';
import { agent, post, type Reply } from './keep-alive-post.js';

/**
 * Client of the visibility bench, in a process of its own. Sends transfers at a fixed rate, and as soon as one is acknowledged
 * asks for the receiver's balance at that very position. Started with a port, the rate per second, and how many; prints what it
 * measured as one line of JSON.
 */
const ACCOUNTS = 20;

const QUERY = 'query ($id: ID!) { account(id: $id) { availableSats } }';

function read(port: number, account: string, minPosition?: string): Promise<Reply> {
  const body = JSON.stringify({ query: QUERY, variables: { id: account } });
  return post(port, '/graphql', body, minPosition === undefined ? {} : { 'ledger-min-position': minPosition });
}

async function run(port: number, ratePerSecond: number, count: number): Promise<object> {
  const prefix = randomUUID();
  const visible: number[] = [];
  const plain: number[] = [];
  const running: Promise<void>[] = [];
  const started = performance.now();
  for (let n = 0; n < count; n += 1) {
    const due = started + (n * 1000) / ratePerSecond;
    const wait = due - performance.now();
    if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
    running.push(
      (async () => {
        const to = `account-${(n + 1) % ACCOUNTS}`;
        const body = `{"fromAccountId":"account-${n % ACCOUNTS}","toAccountId":"${to}","amountSats":"1"}`;
        const sent = await post(port, '/v1/transfers', body, { 'idempotency-key': `${prefix}-${n}` });
        if (sent.status !== 201) throw new Error(`transfer answered ${sent.status}: ${sent.body}`);
        const acknowledged = performance.now();
        const { position } = JSON.parse(sent.body) as { position: string };
        const answer = await read(port, to, position);
        const answered = performance.now();
        const at = /"position":"(\d+)"/.exec(answer.body)?.[1] ?? '0';
        if (answer.status !== 200 || BigInt(at) < BigInt(position)) throw new Error(`read answered ${answer.body}`);
        visible.push(answered - acknowledged);
        const again = performance.now();
        await read(port, to);
        plain.push(performance.now() - again);
      })(),
    );
  }
  await Promise.all(running);
  return { visible: percentiles(visible), plain: percentiles(plain), seconds: (performance.now() - started) / 1000 };
}

function percentiles(values: number[]): { p50: number; p99: number; max: number } {
  const sorted = Float64Array.from(values).sort();
  const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? NaN;
  return { p50: at(0.5), p99: at(0.99), max: at(1) };
}

const [port, ratePerSecond, count] = process.argv.slice(2).map(Number);
if (port === undefined || ratePerSecond === undefined || count === undefined) {
  throw new Error('usage: visible-client <port> <rate> <count>');
}
process.stdout.write(`${JSON.stringify(await run(port, ratePerSecond, count))}\n`);
agent.destroy();
