/**
 * Signs a payment by file, as an offline machine would:
 *
 *   SIGNER_KEY=tprv… node examples/sign-psbt.mjs < payout.psbt > signed.psbt
 *
 * SIGNER_KEY: BIP32 master key. BITCOIN_NETWORK: regtest (default), signet, testnet4, mainnet. What is signed is shown on standard error.
 */
import { text } from 'node:stream/consumers';
import { describe, readKey, sign } from './psbt-signing.mjs';

const network = process.env.BITCOIN_NETWORK ?? 'regtest';
const key = readKey(process.env.SIGNER_KEY ?? '', network);
const psbt = (await text(process.stdin)).trim();
const { outputs, feeSats } = describe(psbt, key, network);
for (const { address, amountSats, isChange } of outputs) {
  process.stderr.write(`${isChange ? 'change ' : 'pays   '} ${String(amountSats).padStart(12)} sats to ${address}\n`);
}
process.stderr.write(`fee     ${String(feeSats).padStart(12)} sats\n`);
process.stdout.write(`${sign(psbt, key, network)}\n`);
