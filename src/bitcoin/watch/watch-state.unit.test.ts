import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Found, Received } from '../../domain/events/chain-events.js';
import { createByteArena } from './byte-arena.js';
import { createCoinTable } from './coin-table.js';
import { createScriptOwners } from './script-owners.js';
import { createWatchState } from './watch-state.js';

const txidOf = (number: number): string => number.toString(16).padStart(64, '0');

test('the arena gives back what was put in, over many chunks', () => {
  const arena = createByteArena();
  const entries = Array.from({ length: 3_000 }, (_, i) => new Uint8Array((i * 37) % 2_000).fill(i));
  const references = entries.map((entry) => arena.add(entry));
  const same = references.filter(
    (reference, i) => Buffer.compare(arena.get(reference), entries[i] ?? new Uint8Array(1)) === 0,
  );
  expect(same).toHaveLength(3_000);
  expect(references).not.toContain(0);
});

test('the table of coins behaves as a map, whatever comes and goes', () => {
  const step = fc.record({
    txid: fc.nat(12),
    vout: fc.nat(2),
    sats: fc.bigInt(0n, 2_100_000_000_000_000n),
    bit: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
      const table = createCoinTable(new Uint8Array(8));
      const map = new Map<string, unknown>();
      for (const { txid, vout, sats, bit } of steps) {
        const key = `${txid}:${vout}`;
        if (map.delete(key)) table.remove(txidOf(txid), vout);
        else {
          const coin = { amountSats: sats, scriptNumber: txid + 4_000_000_000, ofAccount: bit };
          map.set(key, coin);
          table.add(txidOf(txid), vout, coin);
        }
        const input = Buffer.concat([Buffer.from(txidOf(txid), 'hex').reverse(), Buffer.of(vout, 0, 0, 0)]);
        expect(table.hasBytes(Buffer.concat([Buffer.of(9), input]), 1)).toBe(map.has(key));
        expect(table.get(txidOf(txid), vout)).toEqual(map.get(key));
        expect(table.size).toBe(map.size);
      }
    }),
  );
});

test('the first watcher of a script stays; an account is given once, and only within the wallet', () => {
  const owners = createScriptOwners();
  const script = Uint8Array.of(1, 2, 3);
  const derivation = { branch: 1, index: 0x7fff_ffff } as const;
  const number = owners.add(script, { walletId: 'a', accountId: null, derivation }, false);
  owners.add(script, { walletId: 'b', accountId: 'eve', derivation: null }, true);
  expect(owners.owner(number)).toEqual({ walletId: 'a', accountId: null, derivation });
  owners.add(script, { walletId: 'a', accountId: 'alice', derivation }, true);
  owners.add(script, { walletId: 'a', accountId: 'eve', derivation }, true);
  expect(owners.owner(number)).toEqual({ walletId: 'a', accountId: 'alice', derivation });
  expect(owners.scripts.ownerOf(Uint8Array.of(0, 1, 2, 3), 1, 3)).toBe(number);
});

test('every block can be taken back, and every disconnect, to the very same coins and orphans', () => {
  const received = (tx: number, vout: number): Received => ({
    txid: txidOf(tx),
    vout,
    amountSats: String(tx),
    script: '52',
    address: null,
    walletId: 'w',
    accountId: null,
    coinbase: false,
    derivation: null,
    payoutId: null,
  });
  const watch = createWatchState('regtest');
  const first: Found = {
    received: [received(1, 0), received(1, 1), received(2, 0)],
    spent: [],
    funding: [
      { txid: txidOf(1), inputs: [`${txidOf(90)}:0`, `${txidOf(90)}:1`] },
      { txid: txidOf(2), inputs: [`${txidOf(90)}:1`] },
    ],
    conflicts: [],
  };
  const { amountSats, script, address, walletId, accountId, payoutId } = received(1, 0);
  const coin = { amountSats, script, address, walletId, accountId, payoutId };
  const second: Found = {
    received: [received(3, 0)],
    spent: [{ txid: txidOf(3), vin: 0, prevTxid: txidOf(1), prevVout: 0, ...coin }],
    funding: [{ txid: txidOf(3), inputs: [`${txidOf(1)}:0`] }],
    conflicts: [],
  };
  const state = () => ({
    coins: [1, 2, 3].flatMap((tx) =>
      [0, 1].filter((vout) => watch.coins.get(txidOf(tx), vout)).map((v) => `${tx}:${v}`),
    ),
    orphans: watch.orphans.size,
    spenders: watch.orphans.spending(`${txidOf(90)}:1`),
  });
  const empty = state();
  const undoFirst = watch.connect(first);
  const one = state();
  const undoSecond = watch.connect(second);
  const two = state();
  expect(two.coins).toEqual(['1:1', '2:0', '3:0']);
  undoSecond();
  expect(state()).toEqual(one);
  undoFirst();
  expect(state()).toEqual(empty);

  watch.connect(first);
  watch.connect(second);
  const undoDisconnectSecond = watch.disconnect(second);
  const afterOne = state();
  expect(afterOne).toEqual({ ...one, orphans: 1 });
  const undoDisconnectFirst = watch.disconnect(first);
  expect(state()).toEqual({ coins: [], orphans: 3, spenders: [txidOf(1), txidOf(2)] });
  expect(watch.orphans.childrenOf(txidOf(1))).toEqual([txidOf(3)]);
  const undoAgain = watch.connect(first);
  expect(state()).toEqual(afterOne);
  undoAgain();
  undoDisconnectFirst();
  undoDisconnectSecond();
  expect(state()).toEqual(two);
});
