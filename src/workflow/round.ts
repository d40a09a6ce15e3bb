import { isRejection } from '../domain/rejection.js';
import { InvariantError } from '../platform/assert.js';
import { PlatformError } from '../platform/errors.js';
import { advancePayout, readModelsKnow } from './advance-payout.js';
import { backoffMs } from './backoff.js';
import { finish } from './steps/finish.js';
import { forEachBounded, tell } from './tell.js';
import { planWallet } from './plan-wallet.js';
import type { UnfinishedWithdrawal } from './ports.js';
import type { TaskPool } from './task-pool.js';
import type { WorkflowParts } from './workflow-parts.js';

/** Payouts that are taken into a round of each kind: what is left comes in the next, so that nothing waits long for the rest. */
const PAGE = 100;
/** Wallets whose waiting withdrawals are looked at in a round. */
const WALLETS = 50;
/** Payouts started, or pages of those that cannot be paid looked at, for one wallet in a round. */
const LOOKS_PER_WALLET = 10;
const FINISH_AT_ONCE = 20;
/** A payout that cannot go on because something does not answer. */
const TROUBLE = { firstMs: 500, maxMs: 60_000 };
/** A wallet whose withdrawals cannot be paid is looked at again, though nothing has happened. */
const IDLE_WALLET_MS = 5_000;

export interface RoundParts extends WorkflowParts {
  /** Where payouts are advanced. */
  pool: TaskPool;
  onFatal: (error: unknown) => void;
}

/** Through a list, page by page; undefined where it is over. */
export interface Walk {
  after: string | null;
}

/** Where the lists that are read page by page stand, and what is to be looked at. */
export interface RoundState {
  /** Where the chain has moved, or at the start: everything due is to be read. */
  due: Walk | undefined;
  /** Through all open payouts, so that nothing is forgotten. */
  sweep: Walk | undefined;
  endsToDo: boolean;
  /** By wallet: not to be looked at before. */
  walletsNotBefore: Map<string, number>;
  walletsToDo: boolean;
  /** By wallet: requests up to this position were looked at and none could be paid; the later ones get their turn. */
  walletsAfter: Map<string, bigint>;
  /** Failures in a row by what failed. */
  failures: Map<string, number>;
}

/**
 * One look at everything that may be to be done, bounded. Answers the moment of the next look, where nothing happens before: 0 where there
 * is more to do now.
 */
export async function runRound(parts: RoundParts, state: RoundState): Promise<number> {
  const { agenda, now } = parts;
  const todo = take(state);
  try {
    await readModelsKnow(parts);
    let isMore = todo.ends && (await finishWhatIsOver(parts, state));
    const ids = new Set(agenda.take(now(), PAGE));
    for (const payoutId of await nextDue(parts, state, todo.due)) ids.add(payoutId);
    for (const payoutId of await nextSwept(parts, state, todo.sweep)) ids.add(payoutId);
    for (const payoutId of ids) await launch(parts, state, payoutId);
    const walletsMs = await planWallets(parts, state);
    isMore ||= agenda.hasWoken || state.due !== undefined || state.sweep !== undefined;
    return isMore ? 0 : walletsMs;
  } catch (error) {
    giveBack(state, todo);
    throw error;
  }
}

/** What a round is to look at. */
interface Todo {
  due: Walk | undefined;
  sweep: Walk | undefined;
  ends: boolean;
}

/** What is noticed from here on is for the next round: the read models that this one reads need not know of it. */
function take(state: RoundState): Todo {
  const todo = { due: state.due, sweep: state.sweep, ends: state.endsToDo };
  Object.assign(state, { due: undefined, sweep: undefined, endsToDo: false });
  return todo;
}

function giveBack(state: RoundState, { due, sweep, ends }: Todo): void {
  state.due ??= due;
  state.sweep ??= sweep;
  state.endsToDo ||= ends;
}

/** Advances a payout on the side; what goes wrong with it is its own trouble. */
async function launch(parts: RoundParts, state: RoundState, payoutId: string): Promise<void> {
  while (!parts.pool.run(payoutId, () => advanceGuarded(parts, state, payoutId))) await parts.pool.one();
}

async function advanceGuarded(parts: RoundParts, state: RoundState, payoutId: string): Promise<void> {
  try {
    await advancePayout(parts, payoutId);
    state.failures.delete(payoutId);
  } catch (error) {
    const waitMs = troubled(parts, state, payoutId, error);
    if (waitMs !== undefined) parts.agenda.alarm(payoutId, parts.now() + waitMs);
  }
}

/** Something did not answer, or changed under our hands: later. Anything else is a bug, and the process must end. */
function troubled(parts: RoundParts, state: RoundState, what: string, error: unknown): number | undefined {
  if (error instanceof InvariantError || !(error instanceof PlatformError)) {
    parts.onFatal(error);
    return undefined;
  }
  parts.events.trouble(what, error);
  const failures = (state.failures.get(what) ?? 0) + 1;
  state.failures.set(what, failures);
  return backoffMs(TROUBLE, failures, parts.random());
}

async function nextDue({ work }: RoundParts, state: RoundState, due: Walk | undefined): Promise<string[]> {
  if (due === undefined) return [];
  const ids = await work.duePayouts(due.after, PAGE);
  state.due ??= walkedOn(ids);
  return ids;
}

async function nextSwept({ work }: RoundParts, state: RoundState, sweep: Walk | undefined): Promise<string[]> {
  if (sweep === undefined) return [];
  const ids = await work.openPayouts(sweep.after, PAGE);
  state.sweep ??= walkedOn(ids);
  return ids;
}

function walkedOn(page: readonly string[]): Walk | undefined {
  const last = page.at(-1);
  return page.length < PAGE || last === undefined ? undefined : { after: last };
}

/** True where there may be more. */
async function finishWhatIsOver(parts: RoundParts, state: RoundState): Promise<boolean> {
  const { work, commands } = parts;
  const [payouts, withdrawals] = await Promise.all([work.payoutsToFinish(PAGE), work.withdrawalsToFinish(PAGE)]);
  let failed = 0;
  const guarded = async (what: string, task: () => Promise<void>): Promise<void> => {
    try {
      await task();
    } catch (error) {
      failed += 1;
      troubled(parts, state, what, error);
    }
  };
  await forEachBounded(payouts, FINISH_AT_ONCE, (payoutId) =>
    guarded(payoutId, async () => finish(parts, payoutId, await commands.payoutState(payoutId))),
  );
  await forEachBounded(withdrawals, FINISH_AT_ONCE, (withdrawal) =>
    guarded(withdrawal.withdrawalId, () => finishWithdrawal(parts, withdrawal)),
  );
  const found = payouts.length + withdrawals.length;
  state.endsToDo ||= failed > 0;
  // What was found is done now, or failed: only a full page means that there are more.
  if (found < PAGE) return false;
  state.endsToDo = true;
  return failed < found;
}

/** A withdrawal that its client cancelled, as far as a crash has left it. */
async function finishWithdrawal(parts: RoundParts, withdrawal: UnfinishedWithdrawal): Promise<void> {
  const { commands } = parts;
  const { withdrawalId, accountId, isCancelled, reason } = withdrawal;
  if (!isCancelled) {
    const cancelled = await tell(parts, commands.cancelWithdrawal({ withdrawalId, accountId, reason }));
    // Another payout has it: then it is paid, and was only left out of this one.
    if (isRejection(cancelled)) return;
  }
  await tell(parts, commands.releaseFunds({ withdrawalId, accountId, reason: 'cancelled' }));
}

/** Answers when wallets are to be looked at again, though nothing happens: milliseconds since 1970. */
async function planWallets(parts: RoundParts, state: RoundState): Promise<number> {
  const { work, now } = parts;
  let nextMs = now() + IDLE_WALLET_MS;
  const wallets = await work.walletsWithWaiting(WALLETS);
  if (state.walletsToDo) state.walletsNotBefore.clear();
  state.walletsToDo = false;
  await forEachBounded(wallets, WALLETS, async (wallet) => {
    const { walletId } = wallet;
    const notBefore = state.walletsNotBefore.get(walletId) ?? 0;
    if (now() < notBefore) {
      nextMs = Math.min(nextMs, notBefore);
      return;
    }
    const untilMs = await planGuarded(parts, state, wallet);
    state.walletsNotBefore.set(walletId, untilMs);
    nextMs = Math.min(nextMs, untilMs);
  });
  return nextMs;
}

async function planGuarded(
  parts: RoundParts,
  state: RoundState,
  wallet: Parameters<typeof planWallet>[1],
): Promise<number> {
  const { agenda, now } = parts;
  try {
    for (let looks = 0; looks < LOOKS_PER_WALLET; looks++) {
      await readModelsKnow(parts);
      const outcome = await planWallet(parts, wallet, state.walletsAfter.get(wallet.walletId) ?? 0n);
      state.failures.delete(wallet.walletId);
      switch (outcome.kind) {
        case 'started':
          agenda.wake(outcome.payoutId);
          await launch(parts, state, outcome.payoutId);
          break;
        case 'more':
          state.walletsAfter.set(wallet.walletId, outcome.after);
          break;
        case 'gathering':
        case 'nothing':
          // From the first again the next time: what could not be paid then may be now.
          state.walletsAfter.delete(wallet.walletId);
          return outcome.kind === 'gathering' ? outcome.untilMs : now() + IDLE_WALLET_MS;
      }
    }
    return now();
  } catch (error) {
    return now() + (troubled(parts, state, wallet.walletId, error) ?? IDLE_WALLET_MS);
  }
}
