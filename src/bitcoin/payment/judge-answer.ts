import type { NodeAnswer } from './payment-node.js';

/** What the node shows of a transaction and its coins, whatever it said. */
export interface NodeView {
  /** Where the transaction itself is. */
  place: 'mempool' | 'chain' | 'nowhere';
  /** Transactions of the mempool, other ones, that spend an input of it. */
  conflicts: readonly string[];
  /** Coins that are not unspent although their block is in the node's best chain: spent in a block. */
  spentInChain: readonly string[];
  /** Coins that the node does not have, and of which nothing more is known. */
  missing: readonly string[];
}

/** `MAX_DETAIL` of the event `CandidateOffered`. */
const MAX_DETAIL_CHARACTERS = 500;

/** Words of Bitcoin Core and of btcd for "it pays too little", alone or as a replacement. */
const FEE =
  /min relay fee|mempool min fee|insufficient (?:priority|fee)|insufficient absolute fee|low fees|fee not met|replacement-failed/i;
/** For "not now": these pass with the next blocks, or with room. */
const LATER = /final|lock ?time|premature|maturity|mempool full|too-long-mempool-chain|limits|package|unconfirmed/i;
/** For what no time heals: the transaction itself is not to the node's liking. */
const FOR_GOOD =
  /script-verify|failed to validate input|not standard|decode|dust|scriptpubkey|scriptsig|tx-size|version|bad-txns-(?!inputs-missingorspent)|bad-witness|max-fee-exceeded|datacarrier|multi-op-return|sigops/i;

/**
 * What a refusal means. The node's words choose between what its mempool and its chain allow, and never decide alone: -25 of
 * `sendrawtransaction` means three different things on btcd, and a transaction that was refused may be in the chain.
 *
 * @param view undefined where the node could not be asked
 */
export function judgeAnswer(mode: 'test' | 'send', words: string, view: NodeView | undefined): NodeAnswer {
  const said = `The node says: ${words}`.slice(0, MAX_DETAIL_CHARACTERS);
  if (view === undefined) return { kind: 'unknown', detail: said };
  if (view.place === 'chain') return { kind: 'already-in-chain', detail: said };
  if (view.place === 'mempool') return { kind: 'already-known', detail: said };
  const [spent] = view.spentInChain;
  if (spent !== undefined)
    return { kind: 'inputs-spent', detail: `${spent} is spent in a block. ${said}`.slice(0, 500) };
  const [byTxid] = view.conflicts;
  const forGood = FOR_GOOD.test(words) && !LATER.test(words) && !FEE.test(words);
  if (byTxid !== undefined) {
    if (forGood) return { kind: 'refused', detail: said, byTxid };
    if (!FEE.test(words)) return { kind: 'inputs-spent', detail: said, byTxid };
    // The same words twice: asked for a replacement, it pays too little; of one sent again, a better one has its place.
    return { kind: mode === 'test' ? 'fee-too-low' : 'replaced-by-better', detail: said, byTxid };
  }
  if (view.missing.length > 0) {
    const detail = `The node does not have ${view.missing[0]}: it may be behind. ${said}`;
    return { kind: 'unknown', detail: detail.slice(0, MAX_DETAIL_CHARACTERS) };
  }
  if (FEE.test(words)) return { kind: 'fee-too-low', detail: said };
  return { kind: forGood ? 'refused' : 'unknown', detail: said };
}
