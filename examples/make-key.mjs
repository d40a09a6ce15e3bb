/**
 * Makes a signer's master key, and the public descriptor that the ledger is told:
 *
 *   node examples/make-key.mjs wpkh > signer.env
 *   . ./signer.env     # sets SIGNER_KEY, for the signer alone, and DESCRIPTOR, for `POST /v1/wallets`
 *
 * Kinds: pkh (BIP44), sh-wpkh (BIP49), wpkh (BIP84, the default), tr (BIP86). BITCOIN_NETWORK: regtest (default), signet, testnet4, mainnet.
 */
import { randomBytes } from 'node:crypto';
import { accountDescriptor, makeKey } from './psbt-signing.mjs';

const network = process.env.BITCOIN_NETWORK ?? 'regtest';
const key = makeKey(randomBytes(32), network);
const descriptor = accountDescriptor(key, process.argv[2] ?? 'wpkh', network);
process.stdout.write(`export SIGNER_KEY='${key.toBase58()}'\nexport DESCRIPTOR="${descriptor}"\n`);
