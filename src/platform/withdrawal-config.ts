import { ID_PATTERN, MAX_MONEY_SATS } from '../domain/primitives.js';
import { ConfigError } from './config-error.js';
import { decimal, integer, readUrl, type Get } from './config-values.js';

/** What the environment says of withdrawals and how they are paid. */
export interface WithdrawalConfig {
  /** Confirmations at which a payment is complete. */
  withdrawalConfirmations: number;
  withdrawalMaxSats: bigint;
  /** Undefined: the only wallet with a descriptor. */
  defaultWalletId: string | undefined;
  /** How long a batch gathers. */
  payoutWindowMs: number;
  payoutMaxWithdrawals: number;
  payoutMaxWeight: number;
  /** What the house pays for fees, in percent of the amount. */
  payoutFeeBudgetPercent: number;
  /** Own unconfirmed change may be spent down to this depth; 0: never. */
  payoutChainDepth: number;
  maxFeeRateSatsPerKvb: bigint;
  /** For a node without an estimate; undefined: wait. */
  fallbackFeeRateSatsPerKvb: bigint | undefined;
  longTermFeeRateSatsPerKvb: bigint;
  signerUrl: string | undefined;
  /** Never logged. */
  signerSecret: string | undefined;
  signerTimeoutMs: number;
  /** Minutes after which a withdrawal is overdue, by its status. */
  overdueMinutes: OverdueMinutes;
}

const OVERDUE_DEFAULTS = { requested: 10, prepared: 60, signed: 10, broadcast: 120, confirming: 240 };
export type OverdueMinutes = Readonly<Record<keyof typeof OVERDUE_DEFAULTS, number>>;

/** Some months: beyond that nobody looks. */
const MAX_OVERDUE_MINUTES = 100_000;
/** Shorter ones can be guessed from one answered request. */
const MIN_SECRET_LENGTH = 16;
/** Sat per 1000 vbytes; a hundred times what was ever needed. */
const MAX_RATE = 100_000;

/**
 * @param finalityDepth a payment cannot be complete deeper than where it is final
 * @throws ConfigError naming the variable
 */
export function readWithdrawalConfig(get: Get, network: string, finalityDepth: number): WithdrawalConfig {
  const isRegtest = network === 'regtest';
  const maxFeeRateSatsPerKvb = feeRate(get, 'MAX_FEE_RATE', '500');
  const signerUrl = readUrl(get, 'SIGNER_URL', ['http:', 'https:']);
  return {
    withdrawalConfirmations: integer(get, 'WITHDRAWAL_CONFIRMATIONS', {
      min: 1,
      max: finalityDepth,
      fallback: isRegtest ? 1 : Math.min(6, finalityDepth),
    }),
    withdrawalMaxSats: BigInt(
      integer(get, 'WITHDRAWAL_MAX_SATS', { min: 1, max: Number(MAX_MONEY_SATS), fallback: Number(MAX_MONEY_SATS) }),
    ),
    defaultWalletId: readWalletId(get),
    payoutWindowMs: integer(get, 'PAYOUT_WINDOW_MS', { min: 0, max: 3_600_000, fallback: isRegtest ? 250 : 1_000 }),
    payoutMaxWithdrawals: integer(get, 'PAYOUT_MAX_WITHDRAWALS', { min: 1, max: 500, fallback: 200 }),
    payoutMaxWeight: integer(get, 'PAYOUT_MAX_WEIGHT', { min: 1_000, max: 400_000, fallback: 100_000 }),
    payoutFeeBudgetPercent: integer(get, 'PAYOUT_FEE_BUDGET_PERCENT', { min: 0, max: 100, fallback: 1 }),
    payoutChainDepth: integer(get, 'PAYOUT_CHAIN_DEPTH', { min: 0, max: 20, fallback: 1 }),
    maxFeeRateSatsPerKvb,
    fallbackFeeRateSatsPerKvb: readFallback(get, network, maxFeeRateSatsPerKvb),
    longTermFeeRateSatsPerKvb: feeRate(get, 'LONG_TERM_FEE_RATE', '10'),
    signerUrl,
    signerSecret: readSecret(get, signerUrl),
    signerTimeoutMs: integer(get, 'SIGNER_TIMEOUT_MS', { min: 100, max: 600_000, fallback: 10_000 }),
    overdueMinutes: readOverdue(get),
  };
}

function readWalletId(get: Get): string | undefined {
  const walletId = get('DEFAULT_WALLET');
  if (walletId !== undefined && !ID_PATTERN.test(walletId)) {
    throw new ConfigError('DEFAULT_WALLET', `'${walletId}' is not a wallet id: 1 to 64 of A-Z a-z 0-9 _ . : -`);
  }
  return walletId;
}

/** Written in sat/vB, to a thousandth. */
function feeRate(get: Get, name: string, fallback: string): bigint {
  return decimal(get, name, { decimals: 3, max: MAX_RATE, fallback, unit: 'sat/vB' });
}

function readFallback(get: Get, network: string, max: bigint): bigint | undefined {
  if (get('FALLBACK_FEE_RATE') === undefined) {
    if (network === 'mainnet') return undefined;
    const usual = 5_000n;
    return usual < max ? usual : max;
  }
  const rate = feeRate(get, 'FALLBACK_FEE_RATE', '5');
  if (rate > max) throw new ConfigError('FALLBACK_FEE_RATE', 'must not be above MAX_FEE_RATE');
  return rate;
}

function readSecret(get: Get, signerUrl: string | undefined): string | undefined {
  const secret = get('SIGNER_SECRET');
  if (secret === undefined) {
    if (signerUrl !== undefined) throw new ConfigError('SIGNER_SECRET', 'must be set when SIGNER_URL is');
    return undefined;
  }
  // Never repeated in the message.
  if (secret.length < MIN_SECRET_LENGTH) {
    throw new ConfigError('SIGNER_SECRET', `must have at least ${MIN_SECRET_LENGTH} characters`);
  }
  if (signerUrl === undefined) throw new ConfigError('SIGNER_URL', 'must be set when SIGNER_SECRET is');
  return secret;
}

function readOverdue(get: Get): OverdueMinutes {
  const text = get('OVERDUE_MINUTES');
  const limits = { ...OVERDUE_DEFAULTS };
  if (text === undefined) return limits;
  for (const part of text.split(',')) {
    const match = /^ *(requested|prepared|signed|broadcast|confirming) *: *(\d{1,6}) *$/.exec(part);
    const minutes = Number(match?.[2]);
    if (!match || minutes < 1 || minutes > MAX_OVERDUE_MINUTES) {
      throw new ConfigError(
        'OVERDUE_MINUTES',
        `'${part}' is not <status>:<minutes>, with a status of ${Object.keys(OVERDUE_DEFAULTS).join(', ')} and 1 to ${MAX_OVERDUE_MINUTES}`,
      );
    }
    limits[match[1] as keyof typeof OVERDUE_DEFAULTS] = minutes;
  }
  return limits;
}
