import type { Branch, WalletCreated } from '../../domain/events/wallet-events.js';
import { deriveScripts } from '../descriptors/derive-script.js';
import { storedDescriptor } from '../descriptors/stored-descriptor.js';
import type { NetworkName } from '../network.js';
import type { Derivation, ScriptOwners } from './script-owners.js';

interface BranchHorizon {
  descriptor: string;
  /** Highest index that was handed out or paid; -1 for none. */
  highest: number;
  /** Every index below is watched. */
  watchedBelow: number;
}

interface WalletHorizon {
  walletId: string;
  gapLimit: number;
  branches: [BranchHorizon | null, BranchHorizon | null];
}

/** BIP32: indexes without hardening end here. */
const INDEX_END = 0x8000_0000;

/**
 * How far ahead the addresses of each wallet are watched: `gapLimit` of them behind the highest that was handed out or paid, on
 * both branches. Deriving a script takes a millisecond, so it waits until the scripts are needed: `settle`.
 */
export interface WalletHorizons {
  create(wallet: WalletCreated): void;
  /** An index was handed out or paid; its script is watched already. */
  noteUse(walletId: string, derivation: Derivation): void;
  /** True when scripts are to be derived before the next scan. */
  readonly pending: boolean;
  /** Derives and watches what the gap limits ask for. */
  settle(): Promise<void>;
}

export function createWalletHorizons(network: NetworkName, owners: ScriptOwners): WalletHorizons {
  const wallets = new Map<string, WalletHorizon>();
  const dirty = new Set<WalletHorizon>();

  const branchOf = (descriptor: string | null): BranchHorizon | null =>
    descriptor === null ? null : { descriptor, highest: -1, watchedBelow: 0 };

  const extend = async ({ walletId, gapLimit, branches }: WalletHorizon, number: Branch): Promise<void> => {
    const branch = branches[number];
    if (branch === null) return;
    const end = Math.min(branch.highest + gapLimit + 1, INDEX_END);
    const count = end - branch.watchedBelow;
    if (count <= 0) return;
    const parsed = storedDescriptor(branch.descriptor, network);
    for (const { index, script } of await deriveScripts(parsed, branch.watchedBelow, count)) {
      owners.add(script, { walletId, accountId: null, derivation: { branch: number, index } }, false);
    }
    branch.watchedBelow = end;
  };

  return {
    create({ walletId, descriptor, changeDescriptor, gapLimit }) {
      const wallet: WalletHorizon = {
        walletId,
        gapLimit,
        branches: [branchOf(descriptor), branchOf(changeDescriptor)],
      };
      wallets.set(walletId, wallet);
      dirty.add(wallet);
    },
    noteUse(walletId, { branch: number, index }) {
      const wallet = wallets.get(walletId);
      const branch = wallet?.branches[number];
      if (!wallet || !branch || index <= branch.highest) return;
      branch.highest = index;
      if (branch.watchedBelow === index) branch.watchedBelow++;
      if (branch.highest + wallet.gapLimit + 1 > branch.watchedBelow) dirty.add(wallet);
    },
    get pending() {
      return dirty.size > 0;
    },
    async settle() {
      for (const wallet of dirty) {
        await extend(wallet, 0);
        await extend(wallet, 1);
        dirty.delete(wallet);
      }
    },
  };
}
