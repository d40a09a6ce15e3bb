import type { NetworkName } from '../network.js';

/** Hash of block 0 of each network (Bitcoin Core, chainparams.cpp). All signets share theirs. */
export const GENESIS_HASHES: Readonly<Record<NetworkName, string>> = {
  mainnet: '000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f',
  testnet4: '00000000da84f2bafbbc53dee25a72ae507ff4914b867c565be350b0da8bf043',
  signet: '00000008819873e925422c1ff0f99f7cc9bbb232af63a077a480a3633bee1ef6',
  regtest: '0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206',
};

/** What `getblockchaininfo` calls each network: Bitcoin Core first, btcd after it where it differs. */
export const CHAIN_NAMES: Readonly<Record<NetworkName, readonly string[]>> = {
  mainnet: ['main', 'mainnet'],
  testnet4: ['testnet4'],
  signet: ['signet'],
  regtest: ['regtest'],
};
