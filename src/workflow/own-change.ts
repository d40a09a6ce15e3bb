import type { Coin } from '../bitcoin/payment/coin.js';
import { kindOfScript } from '../bitcoin/payment/script-kind.js';
import type { WalletState } from '../domain/wallet/wallet-state.js';
import type { PaymentWallet } from './payment-wallet.js';
import { isTaken, viewOf, type CandidateView, type PayoutView, type SignedView } from './payout-view.js';
import type { WorkflowParts } from './workflow-parts.js';

/** Payouts that are looked at for change: the newest of those that nobody has confirmed yet. */
const MAX_PARENTS = 20;

/** The change outputs of a signed candidate, as coins. */
export function changeCoins(
  wallet: PaymentWallet,
  { transaction }: CandidateView,
  { txid, changeVouts }: SignedView,
): Coin[] {
  return changeVouts.flatMap((vout) => {
    const output = transaction.outputs[vout];
    if (output?.changeIndex === undefined || output.changeIndex === null) return [];
    const { script, changeIndex: index } = output;
    const kind = kindOfScript(Buffer.from(script, 'hex'));
    const derivation = { branch: wallet.changeBranch, index };
    return [
      {
        txid,
        vout,
        amountSats: BigInt(output.amountSats),
        script,
        kind,
        derivation,
        blockHash: null,
        confirmations: 0,
      },
    ];
  });
}

/**
 * Our own change that no block holds yet and that may be spent all the same: of a payment that the node has, that was signed once
 * and has a txid that nobody can change (no `pkh` input), and that does not itself build on more unconfirmed ones than allowed.
 */
export async function spendableOwnChange(
  { work, commands, policy }: Pick<WorkflowParts, 'work' | 'commands' | 'policy'>,
  wallet: PaymentWallet,
  state: WalletState,
): Promise<Coin[]> {
  if (policy.chainDepth === 0) return [];
  const ids = await work.unconfirmedPayouts(wallet.walletId, MAX_PARENTS);
  const parents = (await Promise.all(ids.map((id) => commands.payoutState(id)))).map(viewOf);
  const byTxid = new Map(
    parents.flatMap((parent) => onlyPayment(parent).map((one) => [one.signed.txid, one] as const)),
  );
  const depthOf = (candidate: CandidateView, seen: number): number => {
    if (seen > policy.chainDepth) return seen;
    const unconfirmed = candidate.transaction.inputs.filter(({ blockHash }) => blockHash === null);
    return unconfirmed.reduce((most, { txid }) => {
      const parent = byTxid.get(txid);
      // Not among those looked at: then its depth is not known, and it is not built upon.
      return Math.max(most, parent === undefined ? Infinity : depthOf(parent.of, seen + 1));
    }, seen);
  };
  return [...byTxid.values()]
    .filter(({ of }) => depthOf(of, 1) <= policy.chainDepth)
    .flatMap(({ of, signed }) => changeCoins(wallet, of, signed))
    .filter(({ txid, vout }) => !state.reserved.has(`${txid}:${vout}`));
}

/** The one signed payment of a payout, if there is just one, the node has it, and its txid is fixed. */
function onlyPayment(payout: PayoutView): { of: CandidateView; signed: SignedView }[] {
  const live = payout.candidates.filter(({ isVoid }) => !isVoid);
  const [of] = live;
  const [signed] = of?.signed ?? [];
  if (live.length !== 1 || of === undefined || signed === undefined || of.signed.length !== 1) return [];
  if (payout.end !== null || payout.halted !== null || payout.bump !== null) return [];
  return isTaken(signed.lastAnswer) && of.transaction.txid === signed.txid ? [{ of, signed }] : [];
}
