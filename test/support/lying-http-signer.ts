import { createServer, type ServerResponse } from 'node:http';
import { text } from 'node:stream/consumers';
import type { AddressInfo } from 'node:net';
import { networks, Psbt } from 'bitcoinjs-lib';
import type { Dice } from '../simulate/dice.js';
import type { IndependentSigner } from './independent-signer.js';

export interface LyingHttpSigner {
  url: string;
  /** From now on it signs what it is asked, at once. */
  becomeHonest(): void;
  /** How often it did what. */
  done: ReadonlyMap<string, number>;
  close(): Promise<void>;
}

/** What it does, by weight; the truth is a third. */
const LIES = { truth: 5, gone: 2, later: 1, refused: 1, nonsense: 1, lost: 2, another: 2, changed: 2, elsewhere: 2 };

/**
 * A service that has the keys of a wallet and cannot be trusted: it answers late or never, signs and loses the answer, signs another payment, or
 * the same one with other amounts, or sends back a transaction that takes the coins away.
 */
export async function startLyingHttpSigner(
  signer: IndependentSigner,
  dice: Dice,
  thiefsAddress: string,
): Promise<LyingHttpSigner> {
  const done = new Map<string, number>();
  const signed = new Map<string, string>();
  let isHonest = false;

  function answer(response: ServerResponse, payoutId: string, psbt: string): void {
    const what = isHonest ? 'truth' : dice.weighted(LIES);
    done.set(what, (done.get(what) ?? 0) + 1);
    switch (what) {
      case 'truth':
        signed.set(payoutId, signer.sign(psbt));
        respond(response, 200, { psbt: signed.get(payoutId) });
        return;
      case 'lost':
        signed.set(payoutId, signer.sign(psbt));
        response.destroy();
        return;
      case 'gone':
        response.destroy();
        return;
      case 'later':
        respond(response, 202, {});
        return;
      case 'refused':
        respond(response, 422, { reason: 'not today' });
        return;
      case 'nonsense':
        respond(response, 200, { psbt: 'cHNidP8BAAA=' });
        return;
      case 'another':
        respond(response, 200, { psbt: [...signed].find(([id]) => id !== payoutId)?.[1] ?? psbt });
        return;
      case 'changed':
        respond(response, 200, { psbt: signer.sign(withAmountsMoved(psbt)) });
        return;
      case 'elsewhere':
        respond(response, 200, {
          psbt: Buffer.from(signer.spendElsewhere(psbt, thiefsAddress), 'hex').toString('base64'),
        });
    }
  }

  const server = createServer((request, response) => {
    text(request)
      .then((body) => {
        const { payoutId, psbt } = JSON.parse(body) as { payoutId: string; psbt: string };
        answer(response, payoutId, psbt);
      })
      // Whoever asked was killed in the middle of it.
      .catch(() => response.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    becomeHonest: () => {
      isHonest = true;
    },
    done,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function respond(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}

/** The same payment with a thousand satoshis more for the first output. */
function withAmountsMoved(psbtBase64: string): string {
  const asked = Psbt.fromBase64(psbtBase64, { network: networks.regtest });
  const changed = new Psbt({ network: networks.regtest });
  changed.setVersion(asked.version);
  changed.setLocktime(asked.locktime);
  asked.data.inputs.forEach((input, index) => {
    const { hash, index: vout, sequence } = asked.txInputs[index] ?? { hash: '', index: 0 };
    changed.addInput({ ...input, hash, index: vout, ...(sequence === undefined ? {} : { sequence }) });
  });
  asked.txOutputs.forEach(({ script, value }, index) => {
    changed.addOutput({ script, value: index === 0 ? value + 1_000n : value });
  });
  return changed.toBase64();
}
