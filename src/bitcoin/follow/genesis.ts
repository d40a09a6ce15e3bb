import type { NetworkName } from '../network.js';

export interface GenesisBlock {
  hash: string;
  /** Seconds since 1970. */
  time: number;
  bits: number;
  nonce: number;
  merkleRoot: string;
}

/** All but testnet4 have the same coinbase, Satoshi's. */
const MERKLE_ROOT = '4a5e1e4baab89f3a32518a88c31bc87f618f76673e2cc77ab2127b7afdeda33b';

/** The first block of each network (Bitcoin Core, `kernel/chainparams.cpp`; testnet4: BIP94). A test hashes each. */
export const GENESIS: Readonly<Record<NetworkName, GenesisBlock>> = {
  mainnet: {
    hash: '000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f',
    time: 1_231_006_505,
    bits: 0x1d00ffff,
    nonce: 2_083_236_893,
    merkleRoot: MERKLE_ROOT,
  },
  testnet4: {
    hash: '00000000da84f2bafbbc53dee25a72ae507ff4914b867c565be350b0da8bf043',
    time: 1_714_777_860,
    bits: 0x1d00ffff,
    nonce: 393_743_547,
    merkleRoot: '7aa0a7ae1e223414cb807e40cd57e667b718e42aaf9306db9102fe28912b7b4e',
  },
  signet: {
    hash: '00000008819873e925422c1ff0f99f7cc9bbb232af63a077a480a3633bee1ef6',
    time: 1_598_918_400,
    bits: 0x1e0377ae,
    nonce: 52_613_770,
    merkleRoot: MERKLE_ROOT,
  },
  regtest: {
    hash: '0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206',
    time: 1_296_688_602,
    bits: 0x207fffff,
    nonce: 2,
    merkleRoot: MERKLE_ROOT,
  },
};

/** What stands for "no block" in the genesis block. */
export const NO_BLOCK = '0'.repeat(64);
