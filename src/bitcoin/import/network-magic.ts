import type { NetworkName } from '../network.js';

/** Stands before every block of a blk*.dat file (Bitcoin Core, `pchMessageStart`; signet: the default one, BIP325). */
export const NETWORK_MAGIC: Readonly<Record<NetworkName, string>> = {
  mainnet: 'f9beb4d9',
  testnet4: '1c163f28',
  signet: '0a03cf40',
  regtest: 'fabfb5da',
};
