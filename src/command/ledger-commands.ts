import { accountStream, type AccountState } from '../domain/account/account-state.js';
import { releaseFunds, type ReleaseFunds } from '../domain/account/release-funds.js';
import { settleWithdrawal, type SettleWithdrawal } from '../domain/account/settle-withdrawal.js';
import type { DomainEvent } from '../domain/events/event-types.js';
import type {
  BumpRefused,
  BumpRequested,
  CandidateOffered,
  CandidatePrepared,
  CandidateSigned,
  PayoutDeferred,
  PayoutHalted,
  PayoutResumed,
  PayoutStarted,
  WithdrawalRemoved,
} from '../domain/events/payout-events.js';
import type {
  WithdrawalAssigned,
  WithdrawalCancelled,
  WithdrawalDeferred,
  WithdrawalFailed,
} from '../domain/events/withdrawal-events.js';
import { closePayout, type ClosePayout } from '../domain/payout/close-payout.js';
import { deferPayout } from '../domain/payout/defer-payout.js';
import { haltPayout } from '../domain/payout/halt-payout.js';
import { mayRelease } from '../domain/payout/may-release.js';
import { payoutStream, type PayoutState } from '../domain/payout/payout-state.js';
import { prepareCandidate } from '../domain/payout/prepare-candidate.js';
import { recordOffer } from '../domain/payout/record-offer.js';
import { recordSigned } from '../domain/payout/record-signed.js';
import { refuseBump } from '../domain/payout/refuse-bump.js';
import { removeWithdrawal } from '../domain/payout/remove-withdrawal.js';
import { requestBump } from '../domain/payout/request-bump.js';
import { resumePayout } from '../domain/payout/resume-payout.js';
import { settlePayout, type SettlePayout } from '../domain/payout/settle-payout.js';
import { startPayout } from '../domain/payout/start-payout.js';
import { isRejection, reject, type Rejection } from '../domain/rejection.js';
import { releaseCoins, type ReleaseCoins } from '../domain/wallet/release-coins.js';
import { reserveCoins, type ReserveCoins } from '../domain/wallet/reserve-coins.js';
import { walletStream, type WalletState } from '../domain/wallet/wallet-state.js';
import { assignWithdrawal } from '../domain/withdrawal/assign-withdrawal.js';
import { cancelWithdrawal } from '../domain/withdrawal/cancel-withdrawal.js';
import { deferWithdrawal } from '../domain/withdrawal/defer-withdrawal.js';
import { failWithdrawal } from '../domain/withdrawal/fail-withdrawal.js';
import { withdrawalStream, type WithdrawalState } from '../domain/withdrawal/withdrawal-state.js';
import { withdrawalEventId } from '../domain/new-event.js';
import type { EventMetadata } from '../eventstore/event-store.js';
import { InvariantError } from '../platform/assert.js';
import type { CommandParts } from './command-parts.js';
import { decidedEvents } from './decided-events.js';
import { hasEnded, isSettled, payoutThatLetGo, prepareFacts, signedTransaction, unlikeTheLog } from './ledger-facts.js';
import type { StreamDecider } from './stream-decider.js';

/** What came of it. Both mean that it is so now; `unchanged`: it was so before. */
export type Told<S> =
  { kind: 'done'; position: bigint; state: S } | { kind: 'unchanged'; position?: undefined; state: S };

/**
 * What events say of why they are there. By default that the workflow did it, because of the newest event of the payout that it is about, or of the
 * stream that it is told to.
 */
export type Cause = EventMetadata;

type Telling<C, S> = (command: C, cause?: Cause) => Promise<Told<S> | Rejection>;

/**
 * The commands that no client sends: one per decision in the life of a withdrawal. Each is decided on its stream, with the same
 * memory of it that the commands of clients use, and is idempotent by its state: told twice, late, or by two processes, it is
 * done once.
 *
 * All throw RetryableError or BusyError where the store does not answer (the same may be told again), and InvariantError for
 * what must never be asked, such as a payment that could be a second one: then nothing was written.
 */
export interface LedgerCommands {
  releaseFunds: Telling<ReleaseFunds, AccountState>;
  settleWithdrawal: Telling<SettleWithdrawal, AccountState>;
  reserveCoins: Telling<ReserveCoins, WalletState>;
  releaseCoins: Telling<ReleaseCoins, WalletState>;
  assignWithdrawal: Telling<WithdrawalAssigned, WithdrawalState>;
  deferWithdrawal: Telling<WithdrawalDeferred, WithdrawalState>;
  /** Of one that no payout pays (any more): a payout that has it must have let go of it before. */
  cancelWithdrawal: Telling<WithdrawalCancelled, WithdrawalState>;
  failWithdrawal: Telling<WithdrawalFailed, WithdrawalState>;
  startPayout: Telling<PayoutStarted, PayoutState>;
  removeWithdrawal: Telling<WithdrawalRemoved, PayoutState>;
  /** Its coins must be reserved and its withdrawals assigned: both are looked up on their own streams. */
  prepareCandidate: Telling<CandidatePrepared, PayoutState>;
  recordSigned: Telling<CandidateSigned, PayoutState>;
  recordOffer: Telling<CandidateOffered, PayoutState>;
  deferPayout: Telling<PayoutDeferred, PayoutState>;
  requestBump: Telling<BumpRequested, PayoutState>;
  refuseBump: Telling<BumpRefused, PayoutState>;
  haltPayout: Telling<PayoutHalted, PayoutState>;
  resumePayout: Telling<PayoutResumed, PayoutState>;
  settlePayout: Telling<SettlePayout, PayoutState>;
  closePayout: Telling<ClosePayout, PayoutState>;
  payoutState(payoutId: string): Promise<PayoutState>;
  walletState(walletId: string): Promise<WalletState>;
  withdrawalState(withdrawalId: string): Promise<WithdrawalState>;
  /** The bytes of a signed candidate of a payout that is not closed, in hex. */
  signedTransaction(payoutId: string, txid: string): Promise<string>;
}

const BY_WORKFLOW: Cause = { actor: 'workflow' };

export function createLedgerCommands(parts: CommandParts): LedgerCommands {
  const { accounts, wallets, withdrawals, payouts } = parts;
  /** A command whose decision needs its stream alone. */
  const onStream =
    <C extends About, S>(
      decider: StreamDecider<S>,
      streamOf: (command: C) => string,
      decide: (command: C, state: S) => DomainEvent[] | Rejection,
    ): Telling<C, S> =>
    (command, cause) =>
      tell(parts, decider, {
        stream: streamOf(command),
        command,
        cause,
        prepare: () => Promise.resolve(undefined),
        decide: (state) => decide(command, state),
      });
  const ofAccount = (command: { accountId: string }): string => accountStream(command.accountId);
  const ofWallet = (command: { walletId: string }): string => walletStream(command.walletId);
  const ofWithdrawal = (command: { withdrawalId: string }): string => withdrawalStream(command.withdrawalId);
  const ofPayout = (command: { payoutId: string }): string => payoutStream(command.payoutId);

  return {
    releaseFunds: (command, cause) =>
      tell(parts, accounts, {
        stream: ofAccount(command),
        command,
        cause,
        prepare: () => hasEnded(parts, command),
        decide: (state, ended) =>
          ended
            ? releaseFunds(command, state)
            : reject('withdrawal-not-cancellable', `Withdrawal '${command.withdrawalId}' is not ${command.reason}.`),
      }),
    settleWithdrawal: (command, cause) =>
      tell(parts, accounts, {
        stream: ofAccount(command),
        command,
        cause,
        prepare: () => isSettled(parts, command),
        decide: (state, settled) =>
          settled
            ? settleWithdrawal(command, state)
            : reject('payout-not-ready', `Payout '${command.payoutId}' was not settled like this.`),
      }),
    reserveCoins: onStream(wallets, ofWallet, reserveCoins),
    releaseCoins: (command, cause) =>
      tell(parts, wallets, {
        stream: ofWallet(command),
        command,
        cause,
        prepare: () => payouts.read(ofPayout(command)),
        decide: (state, payout) =>
          releaseCoins(command, state, { mayRelease: (outpoint) => mayRelease(payout, command.reason, outpoint) }),
      }),
    assignWithdrawal: onStream(withdrawals, ofWithdrawal, assignWithdrawal),
    deferWithdrawal: onStream(withdrawals, ofWithdrawal, deferWithdrawal),
    cancelWithdrawal: (command, cause) =>
      tell(parts, withdrawals, {
        stream: ofWithdrawal(command),
        command,
        cause,
        prepare: (state) => payoutThatLetGo(parts, command.withdrawalId, state),
        decide: (state, letGoBy) =>
          state.phase === 'cancelled'
            ? []
            : cancelWithdrawal(command, state, { isRemovedFrom: (payoutId) => payoutId === letGoBy }),
      }),
    failWithdrawal: (command, cause) =>
      tell(parts, withdrawals, {
        stream: ofWithdrawal(command),
        command,
        cause,
        prepare: () => payouts.read(ofPayout(command)),
        decide: (state, { resolution }) =>
          resolution?.outcome === 'give-up'
            ? failWithdrawal(command, state)
            : reject('payout-not-ready', `Payout '${command.payoutId}' was not given up.`),
      }),
    startPayout: (command, cause) =>
      tell(parts, payouts, {
        stream: ofPayout(command),
        command,
        cause,
        prepare: (state) => (state.started === null ? unlikeTheLog(parts, command) : Promise.resolve(undefined)),
        decide: (state, unlike) =>
          unlike !== undefined && state.started === null ? unlike : startPayout(command, state),
      }),
    removeWithdrawal: onStream(payouts, ofPayout, removeWithdrawal),
    prepareCandidate: (command, cause) =>
      tell(parts, payouts, {
        stream: ofPayout(command),
        command,
        cause,
        prepare: (state) => prepareFacts(parts, command, state),
        decide: (state, facts) => prepareCandidate(command, state, facts),
      }),
    recordSigned: onStream(payouts, ofPayout, recordSigned),
    recordOffer: onStream(payouts, ofPayout, recordOffer),
    deferPayout: onStream(payouts, ofPayout, deferPayout),
    requestBump: onStream(payouts, ofPayout, requestBump),
    refuseBump: onStream(payouts, ofPayout, refuseBump),
    haltPayout: onStream(payouts, ofPayout, haltPayout),
    resumePayout: onStream(payouts, ofPayout, resumePayout),
    settlePayout: onStream(payouts, ofPayout, settlePayout),
    closePayout: onStream(payouts, ofPayout, closePayout),
    payoutState: (payoutId) => payouts.read(payoutStream(payoutId)),
    walletState: (walletId) => wallets.read(walletStream(walletId)),
    withdrawalState: (withdrawalId) => withdrawals.read(withdrawalStream(withdrawalId)),
    signedTransaction: (payoutId, txid) => signedTransaction(parts, payoutId, txid),
  };
}

/** What a command says it is about. */
interface About {
  payoutId?: string;
  withdrawalId?: string | null;
  withdrawals?: readonly { withdrawalId: string }[];
}

interface Tell<S, F> {
  stream: string;
  command: About;
  cause: Cause | undefined;
  prepare: (newest: S) => Promise<F>;
  decide: (state: S, facts: F) => DomainEvent[] | Rejection;
}

async function tell<S, F>(
  parts: CommandParts,
  decider: StreamDecider<S>,
  request: Tell<S, F>,
): Promise<Told<S> | Rejection> {
  const { stream, cause = {} } = request;
  const { ledger } = parts;
  const elsewhere = cause.causationId === undefined ? await causeElsewhere(parts, request) : null;
  const result = await decider.run<F, S>({
    stream,
    prepare: ({ newest }) => request.prepare(newest),
    decide: (state, facts) => {
      const events = request.decide(state, facts);
      return isRejection(events) ? events : { events, detail: events.reduce(decider.evolve, state) };
    },
    toAppend: ({ events }, revision, after) => {
      const causationId = elsewhere ?? after ?? beginning(ledger, request);
      const metadata = { ...BY_WORKFLOW, ...(causationId === null ? {} : { causationId }), ...cause };
      return { events: decidedEvents(events, { ledger, stream, revision }, metadata), idempotency: undefined };
    },
  });
  switch (result.kind) {
    case 'appended':
      return { kind: 'done', position: result.position, state: result.detail };
    case 'unchanged':
      return { kind: 'unchanged', state: result.detail };
    case 'rejected':
      return result.rejection;
    case 'key-used':
      throw new InvariantError(`what is told to ${stream} has no idempotency key`);
  }
}

/** What is told to other streams because of a payout, or to an account because of a withdrawal that ended. */
async function causeElsewhere(
  { payouts, withdrawals }: CommandParts,
  { stream, command: { payoutId, withdrawalId } }: Pick<Tell<unknown, unknown>, 'stream' | 'command'>,
): Promise<string | null> {
  if (payoutId !== undefined) {
    return payoutStream(payoutId) === stream ? null : await payouts.lastEventId(payoutStream(payoutId));
  }
  if (withdrawalId === undefined || withdrawalId === null || withdrawalStream(withdrawalId) === stream) return null;
  return await withdrawals.lastEventId(withdrawalStream(withdrawalId));
}

/** Where nothing stands before it: the request. */
function beginning(ledger: string, { command }: Pick<Tell<unknown, unknown>, 'command'>): string | null {
  const first = command.withdrawalId ?? command.withdrawals?.[0]?.withdrawalId;
  return typeof first === 'string' ? withdrawalEventId(ledger, first) : null;
}
