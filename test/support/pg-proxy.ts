import { createConnection, createServer, type Socket } from 'node:net';

/** Frontend messages that make the server do something: simple Query, and Sync, which closes an extended one. */
const STATEMENT_MESSAGES = new Set(['Q'.charCodeAt(0), 'S'.charCodeAt(0)]);
/** The server has done what was asked: ReadyForQuery, or that it awaits or sends the data of a COPY. */
const ANSWERED = new Set(['Z', 'G', 'H'].map((letter) => letter.charCodeAt(0)));

export interface PostgresProxy {
  /** The server's URL through the proxy. */
  url: string;
  /** Statements seen so far, over all connections. */
  statements(): number;
  /**
   * Calls `strike` once, at the n-th statement from now: 'before' it reaches the server (it never happens), or 'after' the server
   * has answered it, with the answer withheld (it happened, and nobody was told).
   */
  strikeAt(n: number, when: 'before' | 'after', strike: () => void): void;
  /**
   * Holds the next message that contains `text` back until `meanwhile` is done, lets the server do what it says, withholds the
   * answer and calls `strike`: something happened in between, and nobody was told of the end.
   */
  holdAt(text: string, meanwhile: () => Promise<void>, strike: () => void): void;
  close(): Promise<void>;
}

/** A PostgreSQL proxy that counts statements, so that a test can kill a process between any two of its writes. */
export async function startPostgresProxy(serverUrl: string): Promise<PostgresProxy> {
  const target = new URL(serverUrl);
  const sockets = new Set<Socket>();
  let count = 0;
  let hold: { text: string; meanwhile: () => Promise<void>; strike: () => void } | undefined;
  let armed: { at: number; when: 'before' | 'after'; strike: () => void } | undefined;

  const server = createServer((client) => {
    const upstream = createConnection({ host: target.hostname, port: Number(target.port), noDelay: true });
    client.setNoDelay(true);
    let withhold = false;
    /** Messages that wait for what happens meanwhile. */
    let held: Buffer[] | undefined;
    const frontend = createSplitter({ startup: true });
    const backend = createSplitter({ startup: false });
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on('close', () => {
        sockets.delete(socket);
        client.destroy();
        upstream.destroy();
      });
      // A reset is what a killed peer looks like; `close` follows and does the work.
      socket.on('error', () => undefined);
    }
    client.on('data', (chunk) => {
      for (const message of frontend(chunk)) {
        if (message.type !== undefined && STATEMENT_MESSAGES.has(message.type)) {
          count += 1;
          if (armed && count >= armed.at) {
            const { when, strike } = armed;
            armed = undefined;
            if (when === 'before') {
              strike();
              client.destroy();
              upstream.destroy();
              return;
            }
            withhold = true;
            backend.onReady = () => {
              strike();
              client.destroy();
              upstream.destroy();
            };
          }
        }
        if (held === undefined && hold !== undefined && message.bytes.includes(hold.text)) {
          const { meanwhile, strike } = hold;
          hold = undefined;
          held = [];
          const goOn = (): void => {
            withhold = true;
            backend.onReady = () => {
              strike();
              client.destroy();
              upstream.destroy();
            };
            for (const bytes of held ?? []) upstream.write(bytes);
            held = undefined;
          };
          // What fails there fails the test by its own expectations: the held statement is lost with its connection.
          meanwhile().then(goOn, () => client.destroy());
        }
        if (held === undefined) upstream.write(message.bytes);
        else held.push(message.bytes);
      }
    });
    upstream.on('data', (chunk) => {
      if (!withhold) {
        client.write(chunk);
        return;
      }
      for (const message of backend(chunk))
        if (message.type !== undefined && ANSWERED.has(message.type)) backend.onReady?.();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the proxy has no port');
  const url = new URL(serverUrl);
  url.port = String(address.port);
  return {
    url: url.toString(),
    statements: () => count,
    strikeAt: (n, when, strike) => (armed = { at: count + n, when, strike }),
    holdAt: (text, meanwhile, strike) => (hold = { text, meanwhile, strike }),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}

interface Message {
  type: number | undefined;
  bytes: Buffer;
}

type Splitter = ((chunk: Buffer) => Message[]) & { onReady?: () => void };

/** Cuts the byte stream into messages: type, length, body; the first one of a client has no type. */
function createSplitter(options: { startup: boolean }): Splitter {
  let rest: Buffer = Buffer.alloc(0);
  let startup = options.startup;
  return (chunk) => {
    rest = Buffer.concat([rest, chunk]);
    const messages: Message[] = [];
    for (;;) {
      const head = startup ? 0 : 1;
      if (rest.length < head + 4) return messages;
      const length = head + rest.readUInt32BE(head);
      if (rest.length < length) return messages;
      messages.push({ type: startup ? undefined : rest[0], bytes: rest.subarray(0, length) });
      rest = rest.subarray(length);
      startup = false;
    }
  };
}
