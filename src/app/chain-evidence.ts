import { Block } from 'bitcoinjs-lib';
import type pg from 'pg';
import type { BlockSource } from '../bitcoin/block-source.js';
import type { ChainEvidence } from '../command/ports.js';
import { InvariantError, invariant } from '../platform/assert.js';
import { PlatformError, RetryableError } from '../platform/errors.js';
import { readSpendInBlock } from '../projections/read/spend-in-block.js';

export interface ChainEvidenceOptions {
  pool: pg.Pool;
  ledger: string;
  blocks: BlockSource['blocks'];
}

/** Looks up in the bytes of connected blocks what a transaction that is not ours did with coins of ours. */
export function createChainEvidence({ pool, ledger, blocks }: ChainEvidenceOptions): ChainEvidence {
  return {
    transaction: async (txid, outpoints) => {
      const spend = await asRead(readSpendInBlock(pool, ledger, txid, outpoints));
      if (spend === undefined) return undefined;
      const [raw] = await blocks([spend.blockHash]);
      invariant(raw !== undefined, 'a source gives the block that it is asked for, or says that it cannot');
      const found = Block.fromBuffer(raw).transactions?.find((transaction) => transaction.getId() === txid);
      if (found === undefined) return undefined;
      const spent = new Set(
        found.ins.map(({ hash, index }) => `${Buffer.from(hash).reverse().toString('hex')}:${index}`),
      );
      return {
        confirmations: spend.tipHeight - spend.height + 1,
        spends: outpoints.filter((outpoint) => spent.has(outpoint) || spend.dead.includes(outpoint)),
        // Two payouts may owe the same amount at the same address: one output pays it once.
        outputs: (spend.isOfAnother ? [] : found.outs).map(({ script, value }) => ({
          script: Buffer.from(script).toString('hex'),
          amountSats: value,
        })),
      };
    },
  };
}

/** A read that fails has changed nothing, so it may be tried again: the driver's errors do not say that themselves. */
export async function asRead<T>(reading: Promise<T>): Promise<T> {
  try {
    return await reading;
  } catch (error) {
    if (error instanceof InvariantError || error instanceof PlatformError) throw error;
    throw new RetryableError('the read models could not be read', {}, { cause: error });
  }
}
