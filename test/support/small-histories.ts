import { createHash } from 'node:crypto';
import type { Found } from '../../src/domain/events/chain-events.js';
import type { ToldEvent } from './ledger-log.js';

/** Builders for short, readable histories. The chain opens at height 0. */
export const NO_FOUND: Found = { received: [], spent: [], funding: [], conflicts: [] };

export function hashNamed(name: string): string {
  return createHash('sha256').update(name).digest('hex');
}

export function chainOpened(depositConfirmations = 1, coinbaseMaturity = 100): ToldEvent[] {
  const network = 'regtest' as const;
  return [
    {
      stream: 'chain-regtest',
      type: 'ChainOpened',
      data: { network, hash: hashNamed('block 0'), height: 0, prevHash: null, time: null, bits: null },
    },
    { stream: 'chain-regtest', type: 'DepositPolicySet', data: { network, depositConfirmations, coinbaseMaturity } },
  ];
}

/** Connects block `name` (say `1`, or `1b` for another branch) at `height` on `prev`. */
export function blockConnected(height: number, name: string, prev: string, found: Partial<Found> = {}): ToldEvent {
  return {
    stream: 'chain-regtest',
    type: 'BlockConnected',
    data: {
      network: 'regtest',
      hash: hashNamed(`block ${name}`),
      height,
      prevHash: hashNamed(`block ${prev}`),
      time: 1_700_000_000 + height,
      bits: 0x207fffff,
      size: 200,
      transactionCount: 1,
      parts: 0,
      found: { ...NO_FOUND, ...found },
    },
  };
}

export function blockDisconnected(height: number, name: string, prev: string, connectedRevision: number): ToldEvent {
  return {
    stream: 'chain-regtest',
    type: 'BlockDisconnected',
    data: {
      network: 'regtest',
      hash: hashNamed(`block ${name}`),
      height,
      prevHash: hashNamed(`block ${prev}`),
      connectedRevision,
    },
  };
}

/** A deposit of transaction `name` to an account, with one outside input. */
export function deposit(name: string, accountId: string | null, amountSats: number, coinbase = false): Partial<Found> {
  const txid = hashNamed(`transaction ${name}`);
  const input = `${hashNamed(`input of ${name}`)}:0`;
  return {
    received: [
      {
        txid,
        vout: 0,
        amountSats: String(amountSats),
        script: `0014${hashNamed(accountId ?? 'house').slice(0, 40)}`,
        address: null,
        walletId: 'w',
        accountId,
        coinbase,
        derivation: null,
        payoutId: null,
      },
    ],
    funding: coinbase ? [] : [{ txid, inputs: [input] }],
  };
}

export function accountOpened(accountId: string): ToldEvent {
  return { stream: `account-${accountId}`, type: 'AccountOpened', data: { accountId, metadata: {} } };
}

export function transferSent(id: string, from: string, to: string, amountSats: number): ToldEvent {
  return {
    stream: `account-${from}`,
    type: 'TransferSent',
    data: {
      transferId: id,
      fromAccountId: from,
      toAccountId: to,
      amountSats: String(amountSats),
      postings: [
        { book: `account:${from}`, amountSats: String(amountSats) },
        { book: `account:${to}`, amountSats: String(-amountSats) },
      ],
    },
  };
}

/** A wallet whose scripts are watched by hand. */
export function walletCreated(walletId: string): ToldEvent {
  return {
    stream: `wallet-${walletId}`,
    type: 'WalletCreated',
    data: {
      walletId,
      network: 'regtest',
      descriptor: null,
      changeDescriptor: null,
      gapLimit: 20,
      signer: 'none',
    },
  };
}
