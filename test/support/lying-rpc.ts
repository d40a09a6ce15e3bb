import { createServer, type ServerResponse } from 'node:http';
import { text } from 'node:stream/consumers';
import type { AddressInfo } from 'node:net';
import type { Dice } from '../simulate/dice.js';

export interface LyingRpc {
  /** To be given to the ledger for the node: forwards to this one, with its credentials. */
  through: (url: string) => Promise<string>;
  becomeHonest(): void;
  /** How often it did what. */
  done: ReadonlyMap<string, number>;
  close(): Promise<void>;
}

/** Of payments alone: whoever lies about blocks is found out by their hashes. */
const ABOUT_PAYMENTS = new Set([
  'sendrawtransaction',
  'testmempoolaccept',
  'getrawtransaction',
  'gettxout',
  'estimatefee',
  'estimatesmartfee',
]);
const LIES = { truth: 8, lost: 2, unsent: 1, refused: 2, busy: 1, gone: 1, absurd: 1 };
/** In the words of Bitcoin Core and btcd. */
const REFUSALS: readonly [number, string][] = [
  [-25, 'bad-txns-inputs-missingorspent'],
  [-26, 'txn-mempool-conflict'],
  [-26, 'min relay fee not met, 10 < 141'],
  [-26, 'insufficient fee, rejecting replacement'],
  [-26, 'mandatory-script-verify-flag-failed (Signature must be zero for failed CHECK(MULTI)SIG operation)'],
  [-27, 'Transaction outputs already in utxo set'],
  [-5, 'No such mempool or blockchain transaction'],
];

/**
 * A node that cannot be trusted, before a real one: it does what it is asked and loses the answer, says that it did what it did not, refuses with
 * words that mean something else, and estimates absurd fees.
 */
export function createLyingRpc(dice: Dice): LyingRpc {
  const done = new Map<string, number>();
  let isHonest = false;
  let server: ReturnType<typeof createServer> | undefined;

  async function answer(target: URL, authorization: string, body: string, response: ServerResponse): Promise<void> {
    const { method, id } = JSON.parse(body) as { method: string; id: unknown };
    const forward = async (): Promise<{ status: number; said: string }> => {
      const answered = await fetch(target, { method: 'POST', headers: { authorization }, body });
      return { status: answered.status, said: await answered.text() };
    };
    const say = (result: unknown, error: unknown = null): void => {
      response.writeHead(error === null ? 200 : 500, { 'content-type': 'application/json' });
      response.end(JSON.stringify({ result, error, id }));
    };
    const what = isHonest || !ABOUT_PAYMENTS.has(method) ? 'truth' : dice.weighted(LIES);
    done.set(what, (done.get(what) ?? 0) + 1);
    switch (what) {
      case 'truth': {
        const { status, said } = await forward();
        response.writeHead(status, { 'content-type': 'application/json' }).end(said);
        return;
      }
      case 'lost':
        await forward();
        response.destroy();
        return;
      case 'unsent':
        // Taken, it says, and keeps it to itself.
        if (method === 'sendrawtransaction') say(Buffer.from(dice.bytes(32)).toString('hex'));
        else response.destroy();
        return;
      case 'refused': {
        const [code, message] = dice.pick(REFUSALS);
        say(null, { code, message });
        return;
      }
      case 'busy':
        response.writeHead(503).end('Work queue depth exceeded');
        return;
      case 'gone':
        response.destroy();
        return;
      case 'absurd':
        if (method === 'estimatefee') say(5_000);
        else if (method === 'estimatesmartfee') say({ feerate: 5_000, blocks: 2 });
        else say({});
    }
  }

  return {
    through: async (url) => {
      const target = new URL(url);
      const authorization = `Basic ${Buffer.from(`${target.username}:${target.password}`).toString('base64')}`;
      target.username = '';
      target.password = '';
      server = createServer((request, response) => {
        text(request)
          .then((body) => answer(target, authorization, body, response))
          // The node is away, or who asked: no answer is what it gets.
          .catch(() => response.destroy());
      });
      const listening = server;
      await new Promise<void>((resolve) => listening.listen(0, '127.0.0.1', resolve));
      return `http://user:password@127.0.0.1:${(listening.address() as AddressInfo).port}`;
    },
    becomeHonest: () => {
      isHonest = true;
    },
    done,
    close: () =>
      new Promise((resolve) => {
        server?.close(() => resolve());
        server?.closeAllConnections();
      }),
  };
}
