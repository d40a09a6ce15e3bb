import type { Found, Received, Spent } from '../../domain/events/chain-events.js';
import type { AddressIssued, ScriptWatched, WalletCreated } from '../../domain/events/wallet-events.js';
import { invariant } from '../../platform/assert.js';
import type { NetworkName } from '../network.js';
import type { OutpointSet } from '../scan-types.js';
import { createCoinTable, type CoinTable } from './coin-table.js';
import { createOrphans, spendingTransactions, type Orphans } from './orphans.js';
import { createPayments, type Payments } from './payments.js';
import { createScriptOwners, type ScriptOwner, type ScriptOwners } from './script-owners.js';
import { createWalletHorizons, type WalletHorizons } from './wallet-horizons.js';

/** What is watched, derived from events alone; in the order of the log. */
export interface WatchState {
  readonly owners: ScriptOwners;
  readonly horizons: WalletHorizons;
  readonly coins: CoinTable;
  readonly orphans: Orphans;
  readonly payments: Payments;
  /** Our coins and the inputs of orphans, for the scanner. */
  readonly outpoints: OutpointSet;
  createWallet(wallet: WalletCreated): void;
  issueAddress(issued: AddressIssued): void;
  /** Asynchronous, because scripts within the gap limits of other wallets come first. */
  watchScript(watched: ScriptWatched): Promise<void>;
  /** Applies a connected block. Returns the way back, which may be taken only before anything else is applied. */
  connect(found: Found): () => void;
  /** Applies the disconnect of a block that held `found`. Returns the way back, as above. */
  disconnect(found: Found): () => void;
  /** Adds a coin that is known from elsewhere than a block. */
  addCoin(coin: Pick<Received, 'txid' | 'vout' | 'amountSats' | 'script' | 'walletId' | 'accountId'>): void;
  /** Owner of a coin, undefined where it is none of ours. */
  coinOwner(txid: string, vout: number): { amountSats: bigint; script: Uint8Array; owner: ScriptOwner } | undefined;
}

export function createWatchState(network: NetworkName): WatchState {
  const owners = createScriptOwners();
  const horizons = createWalletHorizons(network, owners);
  const coins = createCoinTable();
  const orphans = createOrphans();
  const payments = createPayments();

  /** The script number that says what the event said, whatever the order in which scripts came to be watched here. */
  function numberOf(script: Uint8Array, owner: ScriptOwner): number {
    const number = owners.find(script);
    // Paid within the gap limit, and not derived here yet.
    if (number === -1) return owners.add(script, owner, owner.accountId !== null);
    const known = owners.owner(number);
    const agrees =
      known.walletId === owner.walletId && (owner.accountId === null || known.accountId === owner.accountId);
    return agrees ? number : owners.addSecond(script, owner);
  }

  const addCoin: WatchState['addCoin'] & ((coin: Received) => void) = (coin: CoinFact): void => {
    const { txid, vout, amountSats, walletId, accountId } = coin;
    const derivation = coin.derivation ?? null;
    const scriptNumber = numberOf(Buffer.from(coin.script, 'hex'), { walletId, accountId, derivation });
    coins.add(txid, vout, { amountSats: BigInt(amountSats), scriptNumber, ofAccount: accountId !== null });
  };
  const restore = ({ prevTxid, prevVout, ...coin }: Spent): void =>
    addCoin({ ...coin, txid: prevTxid, vout: prevVout });
  const remove = (txid: string, vout: number): void => coins.remove(txid, vout);

  const receiveAndSpend = (found: Found): void => {
    for (const received of found.received) {
      addCoin(received);
      if (received.derivation) horizons.noteUse(received.walletId, received.derivation);
    }
    for (const { prevTxid, prevVout } of found.spent) remove(prevTxid, prevVout);
  };
  const takeBack = (found: Found): void => {
    for (const spent of [...found.spent].reverse()) restore(spent);
    for (const { txid, vout } of [...found.received].reverse()) remove(txid, vout);
  };

  return {
    owners,
    horizons,
    coins,
    orphans,
    payments,
    outpoints: {
      get size() {
        return coins.size + orphans.size;
      },
      add: () => invariant(false, 'the scanner does not change what is watched'),
      delete: () => invariant(false, 'the scanner does not change what is watched'),
      has: (txid, vout) => coins.get(txid, vout) !== undefined || orphans.spending(`${txid}:${vout}`).length > 0,
      hasBytes: (block, offset) =>
        coins.hasBytes(block, offset) || (orphans.size > 0 && orphans.hasBytes(block, offset)),
    },
    createWallet: (wallet) => horizons.create(wallet),
    issueAddress({ walletId, accountId, branch, index, script }) {
      const derivation = { branch, index };
      owners.add(Buffer.from(script, 'hex'), { walletId, accountId, derivation }, true);
      horizons.noteUse(walletId, derivation);
    },
    async watchScript({ walletId, accountId, script }) {
      // The first watcher by position owns a script: what earlier events watch must be there before this one's is.
      if (horizons.pending) await horizons.settle();
      owners.add(Buffer.from(script, 'hex'), { walletId, accountId, derivation: null }, true);
    },
    connect(found) {
      receiveAndSpend(found);
      const adopted: [string, string[]][] = [];
      for (const txid of spendingTransactions(found).keys()) {
        const inputs = orphans.remove(txid);
        if (inputs) adopted.push([txid, inputs]);
      }
      return () => {
        for (const [txid, inputs] of adopted) orphans.add(txid, inputs);
        takeBack(found);
      };
    },
    disconnect(found) {
      takeBack(found);
      payments.restore(found);
      const added = [...spendingTransactions(found)].filter(([txid, inputs]) => orphans.add(txid, inputs));
      return () => {
        for (const [txid] of added) orphans.remove(txid);
        receiveAndSpend(found);
      };
    },
    addCoin,
    coinOwner(txid, vout) {
      const coin = coins.get(txid, vout);
      if (!coin) return undefined;
      const owner = owners.owner(coin.scriptNumber);
      return {
        amountSats: coin.amountSats,
        script: owners.script(coin.scriptNumber),
        owner: coin.ofAccount ? owner : { ...owner, accountId: null },
      };
    },
  };
}

type CoinFact = Parameters<WatchState['addCoin']>[0] & { derivation?: Received['derivation'] };
