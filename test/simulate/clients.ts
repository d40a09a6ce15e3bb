import { AcceptSignedCommand, AcceptSignedHandler } from '../../src/command/handlers/accept-signed.js';
import { BumpWithdrawalCommand, BumpWithdrawalHandler } from '../../src/command/handlers/bump-withdrawal.js';
import { CancelWithdrawalCommand, CancelWithdrawalHandler } from '../../src/command/handlers/cancel-withdrawal.js';
import { RequestWithdrawalCommand, RequestWithdrawalHandler } from '../../src/command/handlers/request-withdrawal.js';
import { ResolvePayoutCommand, ResolvePayoutHandler } from '../../src/command/handlers/resolve-payout.js';
import type { CommandOutcome } from '../../src/command/run-command.js';
import { signableCandidates } from '../../src/domain/payout/payout-candidates.js';
import { payoutStream } from '../../src/domain/payout/payout-state.js';
import { ProblemError } from '../../src/platform/http/problem.js';
import type { AuditedPayout } from './auditor.js';
import type { Dice } from './dice.js';
import { ACCOUNTS, asError, describe, RECIPIENTS, scriptOf, WALLETS, type Asked } from './scenario.js';
import type { Simulation } from './simulation.js';

/** What people and programs ask of the ledger. */

export function newRequest(simulation: Simulation, dice: Dice): Asked {
  const { asked } = simulation;
  const n = asked.size;
  const address = dice.pick(RECIPIENTS);
  const twin = dice.chance(0.1) ? [...asked.values()].at(-1) : undefined;
  // Amounts are all different, but for twins: so an output says whose it is.
  const amountSats = twin?.input.amountSats ?? BigInt(dice.between(1, 30) * 10_000 + n);
  const input = {
    withdrawalId: `w${n}`,
    accountId: twin?.input.accountId ?? dice.pick(ACCOUNTS),
    walletId: dice.pick(WALLETS),
    address: twin?.input.address ?? address,
    amountSats,
    maxFeeSats: dice.pick([undefined, undefined, 300n, 2_000n, 20_000n]),
    confirmationTarget: dice.pick([undefined, 1, 2]),
  };
  const request = { key: `withdraw ${n}`, input, script: scriptOf(input.address), told: undefined };
  asked.set(input.withdrawalId, request);
  return request;
}

/** Asks for a withdrawal, so many clients at once with the same key. */
export async function ask(simulation: Simulation, asked: Asked, clients: number): Promise<void> {
  const handler = new RequestWithdrawalHandler(simulation.running.parts);
  const { key, input } = asked;
  const outcomes = await Promise.allSettled(
    Array.from({ length: clients }, () =>
      handler.execute(new RequestWithdrawalCommand(simulation.context(key), input)),
    ),
  );
  for (const outcome of outcomes) {
    if (outcome.status === 'fulfilled') told(simulation, asked, outcome.value);
  }
  const kinds = [...new Set(outcomes.map((one) => (one.status === 'fulfilled' ? describe(one.value) : 'no answer')))];
  const { withdrawalId, amountSats, maxFeeSats = 'house', accountId, walletId } = input;
  const what = `${withdrawalId} of ${amountSats} (fee ${maxFeeSats}) by ${accountId} from ${walletId}`;
  simulation.say(`${clients} ask for ${what}: ${kinds.sort().join(', ')}`);
  for (const outcome of outcomes) if (outcome.status === 'rejected') throw asError(outcome.reason);
}

function told({ auditor }: Simulation, asked: Asked, outcome: CommandOutcome): void {
  const before = asked.told;
  const isFinal = outcome.kind === 'done' || outcome.kind === 'rejected';
  if (!isFinal) return;
  if (before !== undefined && before.kind !== outcome.kind) {
    auditor.problem(`${asked.key} was told ${before.kind}, and then ${outcome.kind}`);
  }
  asked.told = outcome;
}

/** The same request again; or another with its id; or another with its key. */
export async function repeat(simulation: Simulation, dice: Dice): Promise<void> {
  const { asked: all, auditor } = simulation;
  if (all.size === 0) return;
  const asked = dice.pick([...all.values()]);
  if (dice.chance(0.5)) return await ask(simulation, asked, 1);
  const handler = new RequestWithdrawalHandler(simulation.running.parts);
  const other = { ...asked.input, amountSats: asked.input.amountSats + 1n };
  const sameKey = dice.chance(0.5);
  const context = sameKey ? simulation.context(asked.key) : simulation.context();
  const outcome = await handler.execute(new RequestWithdrawalCommand(context, other));
  const { withdrawalId } = asked.input;
  simulation.say(`another request with the ${sameKey ? 'key' : 'id'} of ${withdrawalId}: ${describe(outcome)}`);
  if (outcome.kind !== 'done') return;
  // Nothing came of the first: then this one is the withdrawal of that id.
  if (asked.told?.kind === 'done') auditor.problem(`${withdrawalId} was taken twice`);
  all.set(withdrawalId, { ...asked, input: other, key: context.idempotencyKey, told: outcome });
}

export async function cancel(simulation: Simulation, withdrawalIds: readonly string[]): Promise<void> {
  for (const withdrawalId of withdrawalIds) {
    const command = new CancelWithdrawalCommand(simulation.context(), { withdrawalId, reason: null });
    const outcome = await new CancelWithdrawalHandler(simulation.running.parts).execute(command);
    simulation.say(`cancel ${withdrawalId}: ${describe(outcome)}`);
  }
}

export async function cancelOne(simulation: Simulation, dice: Dice): Promise<void> {
  const open = [...simulation.auditor.withdrawals].filter(([, { isOver }]) => !isOver).map(([id]) => id);
  if (open.length > 0) await cancel(simulation, [dice.pick(open)]);
}

export async function bump(simulation: Simulation, dice: Dice): Promise<void> {
  const open = [...simulation.auditor.withdrawals].filter(([, { payoutId, isOver }]) => payoutId !== null && !isOver);
  if (open.length === 0) return;
  const [withdrawalId] = dice.pick(open);
  const feeRateSatsPerVbyte = dice.pick([undefined, 1, 4, 12, 30]);
  const command = new BumpWithdrawalCommand(simulation.context(), { withdrawalId, feeRateSatsPerVbyte });
  const outcome = await new BumpWithdrawalHandler(simulation.running.parts).execute(command);
  simulation.say(`bump ${withdrawalId} to ${feeRateSatsPerVbyte ?? 'what is needed'}: ${describe(outcome)}`);
}

export async function resolve(simulation: Simulation, dice: Dice): Promise<void> {
  const halted = [...simulation.auditor.payouts].filter(([, payout]) => payout.halted !== null && payout.end === null);
  for (const [payoutId, payout] of halted) await resolveOne(simulation, dice, payoutId, payout);
}

async function resolveOne(simulation: Simulation, dice: Dice, payoutId: string, payout: AuditedPayout): Promise<void> {
  const { auditor, chain } = simulation;
  const byTxid = payout.halted?.byTxid ?? '';
  const outcome = dice.pick(['paid', 'pay-again', 'give-up'] as const);
  const pays = paysAll(simulation, byTxid, payout);
  // A person that says what is not true has to be refused where it can be known; what else is said is their decision.
  if (pays && outcome !== 'paid') return;
  const command = new ResolvePayoutCommand(simulation.context(), { payoutId, outcome, byTxid, note: '' });
  const result = await new ResolvePayoutHandler(simulation.running.parts).execute(command);
  simulation.say(`resolve ${payoutId.slice(0, 8)} as ${outcome}: ${describe(result)}`);
  if (result.kind !== 'done') return;
  const { finalAt } = payout.started;
  if (chain.confirmations(byTxid) < finalAt) auditor.problem(`${payoutId} was resolved by what is not buried`);
  if (outcome === 'paid' && !pays) auditor.problem(`${payoutId} was resolved as paid, and is not`);
}

/** Whether the transaction pays every withdrawal of the payout, each with an output of its own. */
function paysAll({ auditor, chain }: Simulation, txid: string, { started }: AuditedPayout): boolean {
  const left = [...(chain.known.get(txid)?.outputs ?? [])];
  const open = started.withdrawals.filter(({ withdrawalId }) => auditor.withdrawal(withdrawalId).end !== 'cancelled');
  return open.every(({ script, amountSats }) => {
    const at = left.findIndex((output) => output.script === script && output.amountSats === BigInt(amountSats));
    if (at >= 0) left.splice(at, 1);
    return at >= 0;
  });
}

/** A person fetches what is to be signed, and brings it back. */
export async function signByHand(simulation: Simulation, dice: Dice): Promise<void> {
  const { parts } = simulation.running;
  for (const [payoutId, payout] of simulation.auditor.payouts) {
    const { signer, walletId } = payout.started;
    if (payout.end !== null || signer !== 'none') continue;
    const state = await parts.payouts.read(payoutStream(payoutId));
    const [newest] = signableCandidates(state);
    if (newest === undefined || state.phase === 'halted' || newest.signed.length > 1) continue;
    if (newest.signed.length === 1 && !dice.chance(0.1)) continue;
    if (parts.signing === undefined) throw new Error('PSBTs are made here');
    const psbt = await parts.signing.buildPsbt(state, newest);
    const answer = await simulation.signer.sign({ payoutId, walletId, psbt });
    if (answer.kind !== 'signed') continue;
    const command = new AcceptSignedCommand(simulation.context(), { payoutId, signed: answer.signed });
    const outcome = await new AcceptSignedHandler(parts).execute(command).catch((error: unknown) => {
      if (error instanceof ProblemError) return undefined;
      throw error;
    });
    const what = outcome === undefined ? 'refused' : describe(outcome);
    simulation.say(`signed by hand for ${payoutId.slice(0, 8)}: ${what}`);
  }
}
