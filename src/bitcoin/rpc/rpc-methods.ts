/**
 * Every RPC method that the source of blocks calls, and what for. These, with these parameters, answer the same on Bitcoin
 * Core and on btcd; a user of the node needs to be allowed (`rpcwhitelist`) no others.
 */
export const SOURCE_METHODS = {
  getblockchaininfo: 'which network, and whether the node has dropped old blocks',
  getblockhash: 'genesis, the start block, and the hash at a height',
  getbestblockhash: 'the tip; polled',
  getblockcount: 'the height of the tip',
  getblockheader: 'the 80 bytes of a header: (hash, false), also for stale blocks',
  getblock: 'the bytes of a block: (hash, 0), also for stale blocks',
} as const;

export type SourceMethod = keyof typeof SOURCE_METHODS;
