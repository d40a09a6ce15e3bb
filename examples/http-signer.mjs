/**
 * A signer for wallets with `"signer":"http"`:
 *
 *   SIGNER_KEY=tprv… SIGNER_SECRET=… PORT=4000 node examples/http-signer.mjs
 *
 * The ledger is started with SIGNER_URL=http://127.0.0.1:4000/ and the same SIGNER_SECRET. It refuses what is not signed with the secret, is
 * older than a minute, pays more than MAX_PAYMENT_SATS, or spends more than MAX_FEE_SATS on the fee: rules of its own, as a signer should have.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import { createServer } from 'node:http';
import { text } from 'node:stream/consumers';
import { describe, readKey, sign } from './psbt-signing.mjs';

const network = process.env.BITCOIN_NETWORK ?? 'regtest';
const key = readKey(process.env.SIGNER_KEY ?? '', network);
const secret = process.env.SIGNER_SECRET ?? '';
const maxPaymentSats = BigInt(process.env.MAX_PAYMENT_SATS ?? 100_000_000);
const maxFeeSats = BigInt(process.env.MAX_FEE_SATS ?? 100_000);
const MAX_AGE_MS = 60_000;
if (secret === '') throw new Error('SIGNER_SECRET is not set');

const server = createServer(async (request, response) => {
  const body = await text(request);
  const time = String(request.headers['x-tallystick-time']);
  const given = Buffer.from(String(request.headers['x-tallystick-signature']), 'hex');
  const expected = createHmac('sha256', secret).update(`${time}.${body}`).digest();
  const isFresh = Math.abs(Date.now() - Date.parse(time)) < MAX_AGE_MS;
  if (given.length !== expected.length || !timingSafeEqual(given, expected) || !isFresh) {
    answer(response, 401, { reason: 'not signed with the secret, or too old' });
    return;
  }
  const { payoutId, psbt } = JSON.parse(body);
  const { outputs, feeSats } = describe(psbt, key, network);
  const paidSats = outputs.filter(({ isChange }) => !isChange).reduce((sum, { amountSats }) => sum + amountSats, 0n);
  if (paidSats > maxPaymentSats || feeSats > maxFeeSats) {
    answer(response, 422, { reason: `it pays ${paidSats} and a fee of ${feeSats}: more than this signer may` });
    return;
  }
  process.stdout.write(`payout ${payoutId}: ${paidSats} sats, fee ${feeSats}\n`);
  answer(response, 200, { psbt: sign(psbt, key, network) });
});

function answer(response, status, body) {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}

server.listen(Number(process.env.PORT ?? 4000), '127.0.0.1', () => {
  process.stdout.write(`signing at http://127.0.0.1:${server.address().port}/\n`);
});
