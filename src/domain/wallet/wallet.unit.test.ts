import { describe, expect, it } from 'vitest';
import type { DomainEvent } from '../events/event-types.js';
import type { WalletCreated } from '../events/wallet-events.js';
import { createWallet } from './create-wallet.js';
import { issueAddress, type IssueFacts } from './issue-address.js';
import { evolveWallet, initialWalletState, type WalletState } from './wallet-state.js';
import { watchScript, type WatchFacts } from './watch-script.js';

const wallet: WalletCreated = {
  walletId: 'hot',
  network: 'regtest',
  descriptor: 'wpkh(tpub/0/*)#checksum',
  changeDescriptor: null,
  gapLimit: 20,
  signer: 'none',
};
const created: DomainEvent = { type: 'WalletCreated', data: wallet };
const byHand: DomainEvent = { type: 'WalletCreated', data: { ...wallet, descriptor: null } };
const given = (...events: DomainEvent[]): WalletState => events.reduce(evolveWallet, initialWalletState);
const issued = (index: number, branch: 0 | 1 = 0): DomainEvent => ({
  type: 'AddressIssued',
  data: { walletId: 'hot', accountId: 'alice', branch, index, script: `00${index}0`, address: `a${index}` },
});
const facts = (change: Partial<IssueFacts> = {}): IssueFacts => ({
  accountExists: true,
  derive: (index) => ({ script: `00${index}0`, address: `a${index}` }),
  isTaken: () => false,
  ...change,
});
const issue = { walletId: 'hot', accountId: 'alice' };

describe('createWallet', () => {
  it('creates it', () => {
    expect(createWallet(wallet, given(), { descriptorUsedBy: undefined })).toEqual([created]);
  });

  it('refuses one that is there', () => {
    expect(createWallet(wallet, given(created), { descriptorUsedBy: undefined })).toMatchObject({
      rejected: 'wallet-exists',
    });
  });

  it('refuses a descriptor that another wallet has', () => {
    expect(createWallet(wallet, given(), { descriptorUsedBy: 'cold' })).toMatchObject({
      rejected: 'descriptor-in-use',
    });
  });

  it.each(['mainnet', 'testnet4'] as const)('refuses to keep keys on %s', (network) => {
    expect(
      createWallet({ ...wallet, network, signer: 'local' }, given(), { descriptorUsedBy: undefined }),
    ).toMatchObject({
      rejected: 'signer-not-allowed',
    });
  });

  it.each(['regtest', 'signet'] as const)('keeps keys on %s', (network) => {
    expect(
      createWallet({ ...wallet, network, signer: 'local' }, given(), { descriptorUsedBy: undefined }),
    ).toHaveLength(1);
  });
});

describe('issueAddress', () => {
  it('hands out index 0 first, then one after the other', () => {
    expect(issueAddress(issue, given(created), facts())).toEqual([issued(0)]);
    expect(issueAddress(issue, given(created, issued(0), issued(1)), facts())).toEqual([issued(2)]);
  });

  it('does not count change', () => {
    expect(issueAddress(issue, given(created, issued(0), issued(7, 1)), facts())).toEqual([issued(1)]);
  });

  it('leaves out an index whose script somebody watches already', () => {
    const isTaken = (script: string): boolean => script === '0000' || script === '0010';
    expect(issueAddress(issue, given(created), facts({ isTaken }))).toEqual([issued(2)]);
  });

  it('asks for a look-up instead of guessing', () => {
    const isTaken = (script: string): boolean | undefined => (script === '0000' ? true : undefined);
    expect(issueAddress(issue, given(created), facts({ isTaken }))).toEqual({ needsLookupFrom: 1 });
  });

  it('refuses where wallet, descriptor or account is missing', () => {
    expect(issueAddress(issue, given(), facts())).toMatchObject({ rejected: 'wallet-not-found' });
    expect(issueAddress(issue, given(byHand), facts())).toMatchObject({ rejected: 'wallet-has-no-descriptor' });
    expect(issueAddress(issue, given(created), facts({ accountExists: false }))).toMatchObject({
      rejected: 'account-not-found',
    });
  });

  it('ends at the last index there is', () => {
    expect(issueAddress(issue, given(created, issued(0x7fff_ffff)), facts())).toMatchObject({
      rejected: 'wallet-has-no-descriptor',
    });
  });
});

describe('watchScript', () => {
  const watch = { walletId: 'hot', accountId: null, script: '51', address: null };
  const free: WatchFacts = { accountExists: true, watchedBy: undefined };
  const watched: DomainEvent = { type: 'ScriptWatched', data: watch };

  it('watches, in a wallet of scripts as in one with a descriptor', () => {
    expect(watchScript(watch, given(byHand), free)).toEqual([watched]);
    expect(watchScript(watch, given(created), free)).toEqual([watched]);
  });

  it('refuses a script that is watched, by this wallet a moment ago or by another', () => {
    expect(watchScript(watch, given(created, watched), free)).toMatchObject({ rejected: 'script-already-watched' });
    expect(watchScript(watch, given(created), { ...free, watchedBy: 'cold' })).toEqual({
      rejected: 'script-already-watched',
      detail: "Wallet 'cold' watches this script already.",
    });
  });

  it('refuses where wallet or account is missing', () => {
    expect(watchScript(watch, given(), free)).toMatchObject({ rejected: 'wallet-not-found' });
    expect(watchScript(watch, given(created), { ...free, accountExists: false })).toMatchObject({
      rejected: 'account-not-found',
    });
  });
});
