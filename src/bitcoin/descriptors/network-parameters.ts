import { networks, type Network } from 'bitcoinjs-lib';
import type { NetworkName } from '../network.js';

/**
 * Prefixes of addresses and keys (Bitcoin Core, `chainparams.cpp`). Signet and testnet4 share testnet's: an address does not
 * say which of the two it is for.
 */
export const NETWORK_PARAMETERS: Readonly<Record<NetworkName, Network>> = {
  mainnet: networks.bitcoin,
  testnet4: networks.testnet,
  signet: networks.testnet,
  regtest: networks.regtest,
};
