import type { View } from '../../reader.js';
import type { TransferRecord } from '../../sql/list-transfers.js';
import { confirmationsAt } from '../confirmations.js';
import type { FieldResolvers } from '../resolver.js';
import { loadBlock } from './block.js';

export interface TransferSource extends TransferRecord {
  view: View;
}

export const TRANSFER: FieldResolvers = {
  confirmations: ({ blockHeight, view }: TransferSource) => confirmationsAt(view.at, blockHeight),
  block: ({ blockHash, view }: TransferSource) => (blockHash === null ? null : loadBlock(view, blockHash)),
};
