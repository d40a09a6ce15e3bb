import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { below, randomBytesOf, randomScript, seededRandom } from '../../../test/support/generated-blocks.js';
import { createOutpointSet } from './outpoint-set.js';
import { createScriptSet } from './script-set.js';
import { createSlotTable } from './slot-table.js';

const toHex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

describe('createSlotTable', () => {
  it('finds what was inserted and not removed, though most hashes collide and the table wraps around', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.constantFrom(0, 1, 2, 1022, 1023, 5000, 2 ** 32 - 1), fc.integer({ min: 1, max: 40 }))),
        (steps) => {
          const table = createSlotTable();
          const model = new Map<number, number>();
          const slotOf = (hash: number, reference: number): number => {
            let slot = table.start(hash);
            while (table.reference(slot) !== 0 && table.reference(slot) !== reference) slot = table.next(slot);
            return table.reference(slot) === 0 ? -1 : slot;
          };
          for (const [hash, reference] of steps) {
            const known = model.get(reference);
            if (known === undefined) {
              table.insert(hash, reference);
              model.set(reference, hash);
            } else {
              table.remove(slotOf(known, reference));
              model.delete(reference);
            }
            expect(table.size).toBe(model.size);
            for (const [there, itsHash] of model) expect(table.hash(slotOf(itsHash, there))).toBe(itsHash);
            const listed: number[] = [];
            table.forEachReference((listedReference) => listed.push(listedReference));
            expect(listed.sort((a, b) => a - b)).toEqual([...model.keys()].sort((a, b) => a - b));
          }
        },
      ),
      { numRuns: 300 },
    );
  });

  it('leaves no trace of what came and went: all slots are empty again', () => {
    const table = createSlotTable();
    const random = seededRandom(4);
    for (let round = 0; round < 50; round++) {
      const hashes = Array.from({ length: 400 }, () => below(random, 2 ** 32));
      hashes.forEach((hash, i) => table.insert(hash, i + 1));
      hashes.forEach((hash, i) => {
        let slot = table.start(hash);
        while (table.reference(slot) !== i + 1) slot = table.next(slot);
        table.remove(slot);
      });
    }
    // 1,024 slots from the beginning: 400 entries at a time never make the table grow.
    for (let slot = 0; slot < 1_024; slot++) expect(table.reference(slot)).toBe(0);
    expect(table.next(1_023)).toBe(0);
  });
});

describe('createScriptSet', () => {
  it('gives back the owner of each script and of no other, over growth', () => {
    const random = seededRandom(1);
    const set = createScriptSet(Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8));
    const model = new Map<string, number>();
    for (let i = 0; i < 8_000; i++) {
      const script = randomScript(random);
      if (script.length > 10_000) continue;
      const owner = below(random, 2 ** 32);
      expect(set.add(script, owner)).toBe(!model.has(toHex(script)));
      if (!model.has(toHex(script))) model.set(toHex(script), owner);
    }
    expect(set.size).toBe(model.size);
    for (const [script, owner] of model) {
      const bytes = Buffer.from(`aa${script}bb`, 'hex');
      expect(set.ownerOf(bytes, 1, bytes.length - 2)).toBe(owner);
      if (script.length < 16) continue;
      // The same ending, which the filter looks at, with another beginning; the same bytes, but fewer.
      bytes[1] = (bytes[1] ?? 0) ^ 1;
      const changed = toHex(bytes.subarray(1, -1));
      expect(set.ownerOf(bytes, 1, bytes.length - 2)).toBe(model.get(changed) ?? -1);
      expect(set.ownerOf(bytes, 2, bytes.length - 3)).toBe(model.get(changed.slice(2)) ?? -1);
    }
  });

  it('holds scripts that begin as others end, the empty one, and the longest that can be spent', () => {
    const set = createScriptSet();
    const longest = new Uint8Array(10_000).fill(7);
    for (let length = 0; length < 100; length++) expect(set.add(longest.subarray(0, length), length)).toBe(true);
    expect(set.add(longest, 4_294_967_295)).toBe(true);
    for (let length = 0; length < 100; length++) expect(set.ownerOf(longest, 3, length)).toBe(length);
    expect(set.ownerOf(longest, 0, 10_000)).toBe(4_294_967_295);
    expect(set.ownerOf(new Uint8Array(10_001).fill(7), 0, 10_001)).toBe(-1);
    expect(() => set.add(new Uint8Array(10_001), 1)).toThrow('cannot be spent');
    expect(() => set.add(new Uint8Array(3), -1)).toThrow('owner');
  });
});

describe('createOutpointSet', () => {
  const outpointBytes = (txid: string, vout: number): Uint8Array => {
    const bytes = Buffer.alloc(40, 0xcc);
    Buffer.from(txid, 'hex').reverse().copy(bytes, 2);
    bytes.writeUInt32LE(vout, 34);
    return bytes;
  };

  it('has what was added and not deleted, as text and as bytes, however many come and go', () => {
    const random = seededRandom(2);
    const set = createOutpointSet(Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8));
    const txids = Array.from({ length: 300 }, () => toHex(randomBytesOf(random, 32)));
    const model = new Set<string>();
    for (let step = 0; step < 20_000; step++) {
      const txid = txids[below(random, txids.length)] ?? '';
      const vout = random() < 0.1 ? 0xffffffff : below(random, 30);
      const name = `${txid}:${vout}`;
      expect(set.hasBytes(outpointBytes(txid, vout), 2)).toBe(model.has(name));
      if (model.has(name)) set.delete(txid, vout);
      else set.add(txid, vout);
      if (!model.delete(name)) model.add(name);
      expect(set.has(txid, vout)).toBe(model.has(name));
    }
    expect(set.size).toBe(model.size);
    for (const name of model) {
      const [txid = '', vout = ''] = name.split(':');
      expect(set.hasBytes(outpointBytes(txid, Number(vout)), 2)).toBe(true);
      set.delete(txid, Number(vout));
    }
    expect(set.size).toBe(0);
  });

  it('has the outpoint of zeros only when it was added', () => {
    const set = createOutpointSet();
    const zeros = '0'.repeat(64);
    expect(set.has(zeros, 0)).toBe(false);
    set.add(zeros, 0);
    expect(set.has(zeros, 0)).toBe(true);
    expect(set.has(zeros, 1)).toBe(false);
  });

  it('tells its caller about adding twice, deleting what is not there, and what is no outpoint', () => {
    const set = createOutpointSet();
    const txid = 'ab'.repeat(32);
    set.add(txid, 1);
    expect(() => set.add(txid, 1)).toThrow('watched already');
    expect(() => set.delete(txid, 2)).toThrow('not watched');
    expect(() => set.add('ab', 1)).toThrow('not a txid');
    expect(() => set.add(`${'ab'.repeat(31)}zz`, 1)).toThrow('not a txid');
    expect(() => set.add(txid, -1)).toThrow('not an output index');
    expect(() => set.add(txid, 2 ** 32)).toThrow('not an output index');
  });
});
