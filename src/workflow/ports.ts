import type { SettleWithdrawal } from '../domain/account/settle-withdrawal.js';
import type { ReleaseFunds } from '../domain/account/release-funds.js';
import type {
  BumpRefused,
  BumpRequested,
  CandidateOffered,
  CandidatePrepared,
  CandidateSigned,
  PaidWithdrawal,
  PayoutDeferred,
  PayoutHalted,
  PayoutResumed,
  PayoutStarted,
  WithdrawalRemoved,
} from '../domain/events/payout-events.js';
import type { Branch, Signer } from '../domain/events/wallet-events.js';
import type {
  WaitReason,
  WithdrawalAssigned,
  WithdrawalCancelled,
  WithdrawalDeferred,
  WithdrawalFailed,
} from '../domain/events/withdrawal-events.js';
import type { ClosePayout } from '../domain/payout/close-payout.js';
import type { PayoutState } from '../domain/payout/payout-state.js';
import type { SettlePayout } from '../domain/payout/settle-payout.js';
import type { Rejection } from '../domain/rejection.js';
import type { ReleaseCoins } from '../domain/wallet/release-coins.js';
import type { ReserveCoins } from '../domain/wallet/reserve-coins.js';
import type { WalletState } from '../domain/wallet/wallet-state.js';

/** What came of a command; `unchanged`: it was done before. Both mean that it is so now. */
export interface Told {
  kind: 'done' | 'unchanged';
  /** Of the last event; none where nothing was written. */
  position?: bigint | undefined;
}

/** The event because of which something is told, where it is not the newest one of the payout. */
export interface Cause {
  causationId?: string;
}

/**
 * What the workflow tells the ledger. Every command is idempotent by the state of its stream and decided there: one that comes twice, or late,
 * or from a second process, changes nothing.
 *
 * @throws RetryableError where the store does not answer: the same may be told again
 */
export interface WorkflowCommands {
  startPayout(command: PayoutStarted): Promise<Told | Rejection>;
  assignWithdrawal(command: WithdrawalAssigned): Promise<Told | Rejection>;
  removeWithdrawal(command: WithdrawalRemoved): Promise<Told | Rejection>;
  cancelWithdrawal(command: WithdrawalCancelled): Promise<Told | Rejection>;
  deferWithdrawal(command: WithdrawalDeferred): Promise<Told | Rejection>;
  failWithdrawal(command: WithdrawalFailed): Promise<Told | Rejection>;
  settleWithdrawal(command: SettleWithdrawal): Promise<Told | Rejection>;
  releaseFunds(command: ReleaseFunds): Promise<Told | Rejection>;
  reserveCoins(command: ReserveCoins): Promise<Told | Rejection>;
  releaseCoins(command: ReleaseCoins): Promise<Told | Rejection>;
  prepareCandidate(command: CandidatePrepared): Promise<Told | Rejection>;
  recordSigned(command: CandidateSigned): Promise<Told | Rejection>;
  recordOffer(command: CandidateOffered): Promise<Told | Rejection>;
  deferPayout(command: PayoutDeferred): Promise<Told | Rejection>;
  requestBump(command: BumpRequested): Promise<Told | Rejection>;
  refuseBump(command: BumpRefused): Promise<Told | Rejection>;
  haltPayout(command: PayoutHalted, cause?: Cause): Promise<Told | Rejection>;
  resumePayout(command: PayoutResumed, cause?: Cause): Promise<Told | Rejection>;
  settlePayout(command: SettlePayout, cause?: Cause): Promise<Told | Rejection>;
  closePayout(command: ClosePayout, cause?: Cause): Promise<Told | Rejection>;
  payoutState(payoutId: string): Promise<PayoutState>;
  walletState(walletId: string): Promise<WalletState>;
  /** The bytes of a signed candidate, in hex. */
  signedTransaction(payoutId: string, txid: string): Promise<string>;
}

/**
 * What the workflow asks the read models. Every answer may be a moment old: what comes of it is decided on streams, and a command
 * that is late changes nothing. Lists are bounded by `limit` and cost what they return, not what is open.
 */
export interface PayoutWork {
  /** Waits until all that is asked here has reached `position`, at most `timeoutMs`. Answers the position reached. */
  waitFor(position: bigint, timeoutMs: number): Promise<bigint>;
  tip(): Promise<ChainPoint | null>;
  wallet(walletId: string): Promise<WorkWallet | undefined>;

  /** Wallets with withdrawals that no payout has taken, the longest waiting first. */
  walletsWithWaiting(limit: number): Promise<WalletWaiting[]>;
  /**
   * Withdrawals of a wallet that no `PayoutStarted` has named (from that event on they are taken, assigned or not) and that are
   * not over, in the order of their requests, of those that were recorded after a position.
   */
  waitingWithdrawals(walletId: string, after: bigint, limit: number): Promise<WaitingWithdrawal[]>;
  /** Those of the accounts that a reorg has left below zero. */
  frozenAccounts(accountIds: readonly string[]): Promise<Set<string>>;
  /** Unspent coins in connected blocks that may be spent now (coinbase: mature) and that no payout has reserved, largest first. */
  spendableCoins(walletId: string, limit: number): Promise<SpendableCoin[]>;
  /** These coins, reserved or not, as far as they are known and unspent. */
  coins(outpoints: readonly string[]): Promise<KnownCoin[]>;
  /** Payouts of the wallet with a signed candidate, none of them in a block, not halted, newest first: they may have change to spend. */
  unconfirmedPayouts(walletId: string, limit: number): Promise<string[]>;

  /** Payouts that are not over (not closed, cancelled, or resolved as paid or given up), in the order of their ids. */
  openPayouts(after: string | null, limit: number): Promise<string[]>;
  /**
   * Payouts for which the chain calls for something now: deep enough to be settled or closed, a coin spent by a transaction that
   * is not ours and not halted, halted by a spend that is connected no more; and unconfirmed ones whose newest candidate has been
   * with the node for `confirmationTarget` blocks or more.
   */
  duePayouts(after: string | null, limit: number): Promise<string[]>;
  /** Payouts that are settled, cancelled, closed or resolved, and whose withdrawals or coins do not all know it yet. */
  payoutsToFinish(limit: number): Promise<string[]>;
  /** Withdrawals that are cancelled, or removed from their payout to be, and whose money has not been given back. */
  withdrawalsToFinish(limit: number): Promise<UnfinishedWithdrawal[]>;
  /** Open payouts that hold these coins. */
  payoutsOfCoins(outpoints: readonly string[]): Promise<string[]>;
  chainFacts(payoutId: string): Promise<ChainFacts | undefined>;
}

export interface ChainPoint {
  height: number;
  hash: string;
}

export interface WorkWallet {
  walletId: string;
  descriptor: string | null;
  changeDescriptor: string | null;
  signer: Signer;
}

export interface WalletWaiting {
  walletId: string;
  /** When the longest waiting one was recorded. */
  oldestAt: Date;
  /** May be cut off at some hundreds: enough to know whether a batch is full. */
  waiting: number;
}

export interface WaitingWithdrawal extends PaidWithdrawal {
  confirmationTarget: number;
  /** Position of its request. */
  position: bigint;
  requestedAt: Date;
  /** Why it waits, as last recorded. */
  deferred: { reason: WaitReason; detail: string } | null;
}

export interface SpendableCoin {
  /** `txid:vout` */
  outpoint: string;
  amountSats: bigint;
  script: string;
  /** Null for a script watched by hand: such a coin is never spent here. */
  derivation: { branch: Branch; index: number } | null;
  blockHash: string;
  height: number;
}

/** `blockHash` and `height` are null for a coin that no connected block holds. */
export type KnownCoin = Omit<SpendableCoin, 'blockHash' | 'height'> & {
  blockHash: string | null;
  height: number | null;
};

export interface UnfinishedWithdrawal {
  withdrawalId: string;
  accountId: string;
  /** The payout that let go of it, for one that is not cancelled yet. */
  payoutId: string | null;
  isCancelled: boolean;
  reason: string | null;
}

/** What the chain says of a payout, on the branch believed now. */
export interface ChainFacts {
  tip: ChainPoint;
  /** Its candidates that are in connected blocks. */
  confirmed: readonly { txid: string; height: number; blockHash: string }[];
  /** Spends of its reserved coins in connected blocks by transactions that are not its candidates. */
  foreign: readonly { outpoint: string; byTxid: string; height: number; blockHash: string }[];
  /** Height of the tip when the node first took each candidate (an answer `accepted`, `already-known` or `already-in-chain`). */
  takenAt: ReadonlyMap<string, number>;
}
