import type { BlockSource } from '../block-source.js';
import { DEFAULT_RELAY_FEES, type NodeAnswer, type PaymentNode } from './payment-node.js';
import { createPreviousTransactions } from './previous-transactions.js';

const NO_NODE: NodeAnswer = {
  kind: 'unknown',
  detail: 'Blocks are pushed to this ledger, and no node is configured: the transaction must be sent by somebody else.',
};

/**
 * Where blocks are pushed there is nobody to send to. Transactions are signed and in the log, and whoever pushes the blocks brings them to
 * the network; that they arrived is seen on the chain.
 */
export function createNoPaymentNode({ blocks }: { blocks: BlockSource['blocks'] }): PaymentNode {
  return {
    name: 'none',
    canSend: false,
    feeRate: () => Promise.resolve(undefined),
    relayFees: () => Promise.resolve(DEFAULT_RELAY_FEES),
    testAccept: () => Promise.resolve(NO_NODE),
    broadcast: () => Promise.resolve(NO_NODE),
    find: () => Promise.resolve(undefined),
    coinState: () => Promise.resolve({ state: 'missing' }),
    previousTransactions: createPreviousTransactions({ blocks, find: () => Promise.resolve(undefined) }),
    close: () => Promise.resolve(),
  };
}
