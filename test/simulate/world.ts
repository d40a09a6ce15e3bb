import { makeTransaction } from '../support/memory-chain.js';
import { Dice } from './dice.js';
import { ACCOUNTS, POLICY, scriptOf, THIEF, WALLETS, type WalletId } from './scenario.js';
import type { Simulation } from './simulation.js';

/** What happens outside of the ledger: miners, depositors, thieves. */

export function mine({ chain, say }: Simulation, dice: Dice): void {
  const blocks = dice.pick([1, 1, 1, 2, 3, 6]);
  const filling = dice.weighted({ mempool: 6, nothing: 2, any: 3 });
  chain.mine(blocks, filling, [], () => dice.chance(0.5));
  say(`mined ${blocks} with ${filling}: height ${chain.height}`);
}

export function reorg({ chain, deposits, say }: Simulation, dice: Dice): void {
  // Below that it is final: nobody promises anything there.
  const depth = Math.min(dice.pick([1, 1, 2, 3, POLICY.finalAt - 1]), chain.height - 3);
  if (depth < 1) return;
  const lost = dice.pick(['kept', 'forgotten'] as const);
  const filling = dice.weighted({ mempool: 3, nothing: 3, any: 4 });
  // Who made a deposit sends it again, or is in no hurry to.
  const first = dice.chance(0.7) ? deposits.map(({ transaction }) => transaction) : [];
  chain.reorg(depth, lost, filling, first, () => dice.chance(0.5));
  say(`reorg of ${depth} blocks, transactions ${lost}, then ${filling}: height ${chain.height}`);
}

export function forget({ chain, say }: Simulation, dice: Dice): void {
  const all = [...chain.mempool.keys()];
  const gone = dice.chance(0.5) ? all : all.slice(0, 1);
  for (const txid of gone) chain.evict(txid);
  say(`the node forgets ${gone.length} of its mempool`);
}

export function deposit(
  simulation: Simulation,
  dice: Dice,
  accountId: string = dice.pick(ACCOUNTS),
  amountSats = BigInt(dice.between(1, 40) * 50_000),
  walletId: WalletId = dice.pick(WALLETS),
): void {
  const { chain, deposits, seed } = simulation;
  const n = deposits.length;
  const txid = Buffer.from(new Dice(seed, 'outside', n).bytes(32)).toString('hex');
  chain.externalCoin(`${txid}:0`, amountSats + 500n);
  const script = scriptOf(simulation.addressOf(accountId, walletId));
  const made = makeTransaction([{ txid, vout: 0 }], [{ script: Buffer.from(script, 'hex'), amountSats }]);
  const transaction = chain.learn(made.toHex());
  if (transaction === undefined) throw new Error('a deposit spends a coin that exists');
  deposits.push({ accountId, transaction, amountSats });
  chain.published.add(transaction.txid);
  chain.admit(transaction);
  simulation.say(`deposit of ${amountSats} for ${accountId} in ${walletId}`);
}

/** Deposits that a reorg took and nobody has sent again are sent again. */
export function redeposit({ chain, deposits }: Simulation): void {
  for (const { transaction } of deposits) {
    if (!chain.places.has(transaction.txid) && !chain.mempool.has(transaction.txid)) chain.admit(transaction);
  }
}

/** The key is used elsewhere: by a thief, or to pay the same withdrawals by hand. */
export function steal(simulation: Simulation, dice: Dice): void {
  const { auditor, chain, foreign, signer } = simulation;
  const held = [...auditor.reserved].filter(([outpoint]) => chain.isUnspent(outpoint));
  if (held.length === 0) return;
  const [outpoint, payoutId] = dice.pick(held);
  const payout = auditor.payout(payoutId);
  const first = payout.prepared.find(({ round, isVoid }) => round === payout.round && !isVoid);
  const inputs = first?.transaction.inputs.map(({ txid, vout }) => `${txid}:${vout}`) ?? [];
  const isPaid = dice.chance(0.4) && inputs.length > 0 && inputs.every((input) => chain.isUnspent(input));
  const spent = isPaid ? inputs : [outpoint];
  const worth = spent.reduce((sum, input) => sum + (chain.outputOf(input)?.amountSats ?? 0n), 0n);
  const paid = isPaid
    ? (first?.transaction.outputs.filter(({ withdrawalId }) => withdrawalId !== null) ?? []).map(
        ({ script, amountSats }) => ({ script, amountSats: BigInt(amountSats) }),
      )
    : [];
  const left = worth - paid.reduce((sum, { amountSats }) => sum + amountSats, 0n) - 300n;
  const outputs = left > 1_000n ? [...paid, { script: THIEF, amountSats: left }] : paid;
  if (outputs.length === 0) return;
  const transaction = chain.learn(signer.steal(payout.started.walletId, spent, outputs, dice));
  if (transaction === undefined) throw new Error('a thief spends coins that exist');
  chain.published.add(transaction.txid);
  foreign.add(transaction.txid);
  chain.mine(1, 'mempool', [transaction]);
  const what = `${isPaid ? 'pays for' : 'takes a coin of'} payout ${payoutId.slice(0, 8)}`;
  simulation.say(`FOREIGN ${transaction.txid.slice(0, 8)} ${what}: height ${chain.height}`);
}
