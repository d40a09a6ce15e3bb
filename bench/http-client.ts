import { randomUUID } from 'node:crypto';
import { connect, type Socket } from 'node:net';

/**
 * Clients of the HTTP bench, in a process of their own: each has a connection and sends its next transfer when the last one
 * is answered. Written on bare sockets, so that the machine's cores are the server's. Started with a port, the number of
 * clients, accounts and requests, and what to ask for: transfers or withdrawals; prints what it measured as one line of JSON.
 */
interface Measured {
  seconds: number;
  latenciesMs: { p50: number; p99: number; max: number };
  statuses: Record<string, number>;
}

const HEAD_END = Buffer.from('\r\n\r\n');

interface Question {
  path: string;
  bodyOf: (from: number, accounts: number) => string;
}

const QUESTIONS: Readonly<Record<string, Question>> = {
  transfers: {
    path: '/v1/transfers',
    bodyOf: (from, accounts) =>
      `{"fromAccountId":"account-${from}","toAccountId":"account-${(from + 1) % accounts}","amountSats":"1"}`,
  },
  withdrawals: {
    path: '/v1/withdrawals',
    bodyOf: (from) =>
      `{"accountId":"account-${from}","address":"bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080","amountSats":"1000","maxFeeSats":"200"}`,
  },
};

async function run(
  { path, bodyOf }: Question,
  [port, clients, accounts, transfers]: readonly [number, number, number, number],
): Promise<Measured> {
  const latencies = new Float64Array(transfers);
  const statuses: Record<string, number> = {};
  const prefix = randomUUID();
  let next = 0;
  const started = performance.now();
  const client = async (id: number): Promise<void> => {
    const connection = await open(port);
    const own = accounts / clients;
    for (let turn = 0; ; turn++) {
      const n = next++;
      if (n >= transfers) break;
      const from = id * own + (turn % own);
      const sent = performance.now();
      const status = await connection.post(path, bodyOf(from, accounts), `${prefix}-${n}`);
      latencies[n] = performance.now() - sent;
      statuses[status] = (statuses[status] ?? 0) + 1;
    }
    connection.socket.destroy();
  };
  await Promise.all(Array.from({ length: clients }, (_, id) => client(id)));
  const seconds = (performance.now() - started) / 1_000;
  latencies.sort();
  const at = (share: number): number => latencies[Math.min(transfers - 1, Math.floor(transfers * share))] ?? NaN;
  return { seconds, latenciesMs: { p50: at(0.5), p99: at(0.99), max: at(1) }, statuses };
}

interface Connection {
  socket: Socket;
  post(path: string, body: string, key: string): Promise<string>;
}

function open(port: number): Promise<Connection> {
  return new Promise((resolve, reject) => {
    let answered: (status: string) => void = () => undefined;
    let pending = Buffer.alloc(0);
    const socket = connect({ port, host: '127.0.0.1', noDelay: true }, () => {
      resolve({
        socket,
        post: (path, body, key) => {
          const answer = new Promise<string>((done) => (answered = done));
          socket.write(
            `POST ${path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\nidempotency-key: ${key}\r\n` +
              `content-length: ${body.length}\r\n\r\n${body}`,
          );
          return answer;
        },
      });
    });
    socket.on('error', reject);
    socket.on('data', (data) => {
      pending = pending.length === 0 ? data : Buffer.concat([pending, data]);
      const headEnd = pending.indexOf(HEAD_END);
      if (headEnd === -1) return;
      const head = pending.toString('latin1', 0, headEnd);
      const length = Number(/content-length: (\d+)/i.exec(head)?.[1] ?? 0);
      if (pending.length < headEnd + 4 + length) return;
      pending = Buffer.alloc(0);
      answered(head.slice(9, 12));
    });
  });
}

const [port, clients, accounts, requests] = process.argv.slice(2, 6).map(Number);
const question = QUESTIONS[process.argv[6] ?? 'transfers'];
if (
  port === undefined ||
  clients === undefined ||
  accounts === undefined ||
  requests === undefined ||
  question === undefined
) {
  throw new Error('usage: http-client <port> <clients> <accounts> <requests> [transfers|withdrawals]');
}
process.stdout.write(`${JSON.stringify(await run(question, [port, clients, accounts, requests]))}\n`);
