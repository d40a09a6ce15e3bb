import type { PaymentNode } from '../bitcoin/payment/payment-node.js';
import type { PlannedTransaction } from '../domain/events/payout-events.js';

/**
 * Looks whether somebody has sent what was only planned: a signer that does not bring back what it signs. By its txid where that is known
 * before the signatures are; else by who spends its first coin in the mempool, which may be somebody else: what is found is to be checked.
 *
 * @returns the raw transaction in hex; undefined where the node has none
 * @throws RetryableError where the node does not answer
 */
export async function findSent(
  node: Pick<PaymentNode, 'find' | 'coinState' | 'canSend'>,
  { txid, inputs }: Pick<PlannedTransaction, 'txid' | 'inputs'>,
): Promise<string | undefined> {
  const [first] = inputs;
  if (!node.canSend || first === undefined) return undefined;
  if (txid !== null) return (await node.find(txid))?.transaction;
  const coin = await node.coinState(`${first.txid}:${first.vout}`);
  return coin.state === 'spent-in-mempool' ? (await node.find(coin.byTxid))?.transaction : undefined;
}
