import { invariant } from '../../platform/assert.js';
import { createScriptSet } from '../scan/script-set.js';
import type { ScriptSet } from '../scan-types.js';
import type { Branch } from '../../domain/events/wallet-events.js';
import { createByteArena } from './byte-arena.js';
import { createNumberList } from './number-list.js';

export interface Derivation {
  branch: Branch;
  index: number;
}

/** Whose a script is. */
export interface ScriptOwner {
  walletId: string;
  /** Null: the house's. */
  accountId: string | null;
  /** Null for a script that was watched by hand. */
  derivation: Derivation | null;
}

/**
 * The watched scripts and their owners. Numbers and byte strings in typed arrays instead of an object each: a million
 * scripts of 22 bytes with an account each take 102 MiB, half of it for the look-up (measured).
 */
export interface ScriptOwners {
  readonly scripts: ScriptSet;
  /**
   * Watches a script. The first watcher stays. A script that was watched only because it is within a gap limit has no account
   * yet: `claimed` with an owner of the same wallet gives it one, once.
   *
   * @returns the number of the script
   */
  add(script: Uint8Array, owner: ScriptOwner, claimed: boolean): number;
  /** An owner of a script beside the first watcher, for coins that the log says are another's. */
  addSecond(script: Uint8Array, owner: ScriptOwner): number;
  owner(number: number): ScriptOwner;
  script(number: number): Uint8Array;
  /** The number of a script, or -1. */
  find(script: Uint8Array): number;
}

const NO_ACCOUNT = 0;
/** Indexes end at 2^31 - 1 (BIP32), so the branch fits into the top bit. */
const BRANCH_BIT = 31;
/** Flag: somebody was given the script; else it is watched ahead only. */
const CLAIMED = 1;
/** Flag: it is derived from the wallet's descriptor. */
const DERIVED = 2;

export function createScriptOwners(): ScriptOwners {
  const scripts = createScriptSet();
  const bytes = createByteArena();
  const scriptOf = createNumberList();
  const walletOf = createNumberList();
  const accountOf = createNumberList();
  const placeOf = createNumberList();
  const flagsOf = createNumberList();
  const walletIds: string[] = [];
  const walletNumbers = new Map<string, number>();

  const walletNumber = (walletId: string): number => {
    let number = walletNumbers.get(walletId);
    if (number === undefined) {
      number = walletIds.push(walletId) - 1;
      walletNumbers.set(walletId, number);
    }
    return number;
  };
  const addAccount = (accountId: string | null): number =>
    accountId === null ? NO_ACCOUNT : bytes.add(Buffer.from(accountId));
  const find = (script: Uint8Array): number => scripts.ownerOf(script, 0, script.length);

  const append = (script: Uint8Array, { walletId, accountId, derivation }: ScriptOwner, claimed: boolean): number => {
    const number = scriptOf.length;
    scriptOf.push(bytes.add(script));
    walletOf.push(walletNumber(walletId));
    accountOf.push(addAccount(accountId));
    placeOf.push(derivation === null ? 0 : ((derivation.branch << BRANCH_BIT) | derivation.index) >>> 0);
    flagsOf.push((claimed ? CLAIMED : 0) | (derivation === null ? 0 : DERIVED));
    return number;
  };

  return {
    scripts,
    find,
    addSecond: (script, owner) => append(script, owner, true),
    add(script, owner, claimed) {
      const existing = find(script);
      if (existing !== -1) {
        const sameWallet = walletOf.get(existing) === walletNumbers.get(owner.walletId);
        if (claimed && sameWallet && (flagsOf.get(existing) & CLAIMED) === 0) {
          flagsOf.set(existing, flagsOf.get(existing) | CLAIMED);
          accountOf.set(existing, addAccount(owner.accountId));
        }
        return existing;
      }
      scripts.add(script, scriptOf.length);
      return append(script, owner, claimed);
    },
    owner(number) {
      const walletId = walletIds[walletOf.get(number)];
      invariant(walletId !== undefined, `script ${number} has a wallet`);
      const account = accountOf.get(number);
      const place = placeOf.get(number);
      return {
        walletId,
        accountId: account === NO_ACCOUNT ? null : Buffer.from(bytes.get(account)).toString(),
        derivation:
          (flagsOf.get(number) & DERIVED) === 0
            ? null
            : { branch: place >>> BRANCH_BIT === 0 ? 0 : 1, index: place & 0x7fff_ffff },
      };
    },
    script: (number) => bytes.get(scriptOf.get(number)),
  };
}
