import type { Outbox } from '../../outbox/outbox.js';
import { invariant } from '../../platform/assert.js';
import type { BlockSource } from '../block-source.js';
import type { BlockInvalid } from '../scan-types.js';
import { AnotherWriterError, type ChangeWriter } from './change-writer.js';
import { fetchAhead, type FetchLimits } from './fetch-ahead.js';
import type { LedgerView } from './ledger-view.js';
import type { Plan } from './plan-change.js';

export interface PlanExecution {
  view: LedgerView;
  writer: ChangeWriter;
  outbox: Outbox;
  source: BlockSource;
  fetchLimits: FetchLimits;
  signal: AbortSignal;
}

/** A block of the plan that is not valid. Nothing of it, and nothing behind it, was written. */
export interface InvalidBlock {
  hash: string;
  height: number;
  invalid: BlockInvalid;
}

/**
 * Carries a plan out: disconnects, newest first, then connects. The first blocks are there before anything is disconnected,
 * and what fits into one append is one append, so that a reorg of usual depth happens in one commit or not at all.
 *
 * @throws AnotherWriterError where the chain changed under the plan; SourceError; RetryableError of the store
 */
export async function executePlan(
  plan: Extract<Plan, { kind: 'change' }>,
  execution: PlanExecution,
): Promise<InvalidBlock | undefined> {
  const { view, writer, signal, source, fetchLimits } = execution;
  let expectedTip = view.chain?.tip.hash;
  let connected = 0;
  let disconnected = false;
  const enough = (): boolean => connected >= plan.connectAtLeast;
  try {
    for await (const batch of fetchAhead(source, plan.connect, fetchLimits)) {
      if (signal.aborted) break;
      // Whatever was watched before these blocks were there must be found in them.
      await seeWholeLog(execution);
      const { chain } = view;
      invariant(chain, 'a plan needs an open chain');
      if (chain.tip.hash !== expectedTip) throw new AnotherWriterError('another follower has moved the tip');
      while (!disconnected && chain.tip.height > plan.forkHeight) await writer.disconnectTip();
      disconnected = true;
      for (const { hash, raw } of batch) {
        const invalid = await writer.connect(hash, raw);
        if (invalid) {
          if (enough()) await writer.flush();
          return { hash, height: chain.tip.height + 1, invalid };
        }
        connected += 1;
        expectedTip = hash;
      }
      if (enough()) await writer.flush();
    }
    return undefined;
  } finally {
    // Stopped, failed, or a block was invalid: what is not written is as if it had not been.
    writer.discard();
  }
}

async function seeWholeLog({ view, writer, outbox }: PlanExecution): Promise<void> {
  if (writer.pending) {
    if ((await outbox.head()) === view.position) return;
    await writer.flush();
  }
  await view.catchUp();
}
