import { addressToScript } from '../../src/bitcoin/descriptors/address-script.js';
import type { RequestWithdrawalInput } from '../../src/command/handlers/request-withdrawal.js';
import type { CommandOutcome } from '../../src/command/run-command.js';
import type { PaymentPolicy } from '../../src/workflow/workflow-parts.js';
import type { KnownTransaction } from './simulated-chain.js';

export const ACCOUNTS = ['alice', 'bob', 'carol'] as const;
/** Each with keys and a signer of its own. */
export const WALLETS = ['hot', 'warm'] as const;
export type WalletId = (typeof WALLETS)[number];
/** Where withdrawals go: nobody has the keys. Of every kind that can be paid. */
export const RECIPIENTS = [
  'bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080',
  'bcrt1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3qzf4jry',
] as const;
export const THIEF = `0014${'99'.repeat(20)}`;

export const POLICY: PaymentPolicy = {
  completeAt: 2,
  finalAt: 6,
  windowMs: 0,
  maxWithdrawals: 5,
  maxWeight: 100_000,
  feeBudgetPercent: 1,
  chainDepth: 1,
  maxFeeRateSatsPerKvb: 100_000n,
  fallbackFeeRateSatsPerKvb: 5_000n,
  longTermFeeRateSatsPerKvb: 10_000n,
  rebroadcastMs: 600_000,
};

/** Types at whose appends a process is killed on purpose; at any other it happens by count. */
export const DEADLY = [
  'FundsReserved',
  'PayoutStarted',
  'WithdrawalAssigned',
  'CoinsReserved',
  'CandidatePrepared',
  'CandidateSigned',
  'CandidateOffered',
  'WithdrawalRemoved',
  'WithdrawalCancelled',
  'FundsReleased',
  'PayoutSettled',
  'WithdrawalSettled',
  'PayoutClosed',
  'CoinsReleased',
  'BumpRequested',
  'BumpRefused',
  'PayoutHalted',
  'PayoutResumed',
  'PayoutResolved',
  'WithdrawalFailed',
  'BlockConnected',
  'BlockDisconnected',
] as const;

export const ACTIONS = {
  withdraw: 10,
  crowd: 2,
  repeat: 2,
  cancel: 3,
  bump: 3,
  sign: 0,
  mine: 12,
  reorg: 4,
  forget: 2,
  deposit: 3,
  steal: 1,
  resolve: 3,
  wait: 4,
  restart: 1,
} as const;

export interface Asked {
  key: string;
  input: RequestWithdrawalInput & { withdrawalId: string };
  script: string;
  /** What the client was told last; undefined where the process died before it answered. */
  told: CommandOutcome | undefined;
}

export interface Deposit {
  accountId: string;
  transaction: KnownTransaction;
  amountSats: bigint;
}

export function scriptOf(address: string): string {
  const script = addressToScript(address, 'regtest');
  if (script === undefined) throw new Error(`not an address: ${address}`);
  return Buffer.from(script).toString('hex');
}

export function done(outcome: CommandOutcome): Readonly<Record<string, unknown>> {
  if (outcome.kind !== 'done') throw new Error(`command failed: ${describe(outcome)}`);
  return outcome.body;
}

export function describe(outcome: CommandOutcome): string {
  return outcome.kind === 'rejected' ? outcome.code : outcome.kind;
}

export function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error('something was thrown that is no error', { cause: thrown });
}
