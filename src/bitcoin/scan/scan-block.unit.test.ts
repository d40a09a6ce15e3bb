import { Transaction } from 'bitcoinjs-lib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  below,
  coinbaseTransaction,
  commitToWitnesses,
  generateBlock,
  generateTransactions,
  merkleRootOf,
  mine,
  randomBytesOf,
  SCRIPT_MAKERS,
  sealBlock,
  seededRandom,
} from '../../../test/support/generated-blocks.js';
import { everythingIn, oracleScan } from '../../../test/support/oracle-scan.js';
import type { BlockInvalid, ScannedBlock } from '../scan-types.js';
import { createOutpointSet } from './outpoint-set.js';
import { scanBlock } from './scan-block.js';
import { createScriptSet } from './script-set.js';

interface Watched {
  scripts: readonly string[];
  outpoints: readonly string[];
}

const NOTHING: Watched = { scripts: [], outpoints: [] };

function scan(block: Uint8Array, watched: Watched = NOTHING): ScannedBlock | BlockInvalid {
  const scripts = createScriptSet();
  watched.scripts.forEach((script, owner) => scripts.add(Buffer.from(script, 'hex'), owner));
  const outpoints = createOutpointSet();
  for (const outpoint of watched.outpoints) {
    const [txid = '', vout = ''] = outpoint.split(':');
    outpoints.add(txid, Number(vout));
  }
  return scanBlock(block, { network: 'regtest', scripts, outpoints });
}

function expectOracle(block: Uint8Array, watched: Watched): void {
  const owners = new Map(watched.scripts.map((script, owner) => [script, owner]));
  const expected = oracleScan(block, owners, new Set(watched.outpoints));
  expect(scan(block, watched)).toEqual({ kind: 'scanned', size: block.length, ...expected });
}

const reasonOf = (answer: ScannedBlock | BlockInvalid): string =>
  answer.kind === 'invalid' ? answer.reason : 'scanned';

/** A small block with one of everything: coinbase with commitment, legacy, witness data, a spend inside the block. */
function smallBlock(seed = 7): Uint8Array {
  return generateBlock({ random: seededRandom(seed), transactions: 4, witnessShare: 0.7, maxOutputs: 2 });
}

describe('scanBlock finds what bitcoinjs-lib finds', () => {
  it('when everything is watched, in blocks of every shape', () => {
    fc.assert(
      fc.property(
        fc.integer(),
        fc.integer({ min: 1, max: 40 }),
        fc.constantFrom(0, 0.5, 1),
        (seed, transactions, witnessShare) => {
          const block = generateBlock({ random: seededRandom(seed), transactions, witnessShare });
          expectOracle(block, everythingIn(block));
        },
      ),
      { numRuns: 80 },
    );
  });

  it('when a part is watched: spends of outputs found in the same block are found, others are not', () => {
    fc.assert(
      fc.property(fc.integer(), (seed) => {
        const random = seededRandom(seed);
        const block = generateBlock({ random, transactions: 30, witnessShare: 0.5, maxInputs: 5 });
        const { scripts, outpoints } = everythingIn(block);
        expectOracle(block, {
          scripts: scripts.filter(() => random() < 0.3),
          outpoints: outpoints.filter(() => random() < 0.1),
        });
        expectOracle(block, { scripts: scripts.filter(() => random() < 0.3), outpoints: [] });
      }),
      { numRuns: 40 },
    );
  });

  it.each(Object.keys(SCRIPT_MAKERS))('for an output of script %s: an odd one is data', (name) => {
    const random = seededRandom(name.length);
    const transactions = generateTransactions({ random, transactions: 2, witnessShare: 0 });
    const script = SCRIPT_MAKERS[name]?.(random) ?? new Uint8Array();
    transactions[1]?.addOutput(script, 21n);
    transactions[1]?.addOutput(script, 22n);
    const block = sealBlock(transactions);
    const watched = script.length <= 10_000 ? [Buffer.from(script).toString('hex')] : [];
    expectOracle(block, { scripts: watched, outpoints: [] });
  });

  it('in a transaction of 3,000 inputs and one of 3,000 outputs, and in a block of one transaction', () => {
    const random = seededRandom(3);
    const many = generateTransactions({ random, transactions: 5, witnessShare: 0.5 });
    const wide = new Transaction();
    for (let i = 0; i < 3_000; i++) wide.addInput(randomBytesOf(random, 32), i, i, randomBytesOf(random, 5));
    wide.setWitness(2_999, [new Uint8Array(300)]);
    for (let i = 0; i < 3_000; i++) wide.addOutput(Uint8Array.from([0x51, i & 0xff]), BigInt(i));
    many.splice(2, 0, wide);
    commitToWitnesses(many, random);
    const block = sealBlock(many);
    expectOracle(block, everythingIn(block));
    const alone = sealBlock([coinbaseTransaction(random)]);
    expectOracle(alone, everythingIn(alone));
  });

  it('of a block that is a part of a larger buffer, and leaves the sets as they were', () => {
    const block = smallBlock();
    const padded = new Uint8Array(block.length + 30).fill(0xee);
    padded.set(block, 13);
    const watched = everythingIn(block);
    expect(scan(padded.subarray(13, 13 + block.length), watched)).toEqual(scan(block, watched));
    const [scripts, outpoints] = [createScriptSet(), createOutpointSet()];
    for (const script of watched.scripts) scripts.add(Buffer.from(script, 'hex'), 1);
    const found = scanBlock(block, { network: 'regtest', scripts, outpoints });
    expect(found.kind === 'scanned' && found.outputs.length).toBeGreaterThan(0);
    expect(outpoints.size).toBe(0);
  });
});

describe('scanBlock never takes other bytes for the same block', () => {
  it('rejects every truncation', () => {
    const block = smallBlock();
    for (let length = 0; length < block.length; length++) {
      expect(reasonOf(scan(block.subarray(0, length))), `cut at ${length}`).not.toBe('scanned');
    }
  });

  it('rejects every flipped bit, or sees another block', () => {
    for (const seed of [7, 8]) {
      const block = smallBlock(seed);
      const original = scan(block);
      expect(original.kind).toBe('scanned');
      for (let i = 0; i < block.length * 8; i++) {
        const changed = Uint8Array.from(block);
        changed[i >> 3] = (changed[i >> 3] ?? 0) ^ (1 << (i & 7));
        const answer = scan(changed);
        // A header with another nonce or time can have enough work again: it is another block, and says so.
        const same =
          answer.kind === 'scanned' && original.kind === 'scanned' && answer.header.hash === original.header.hash;
        expect(same, `bit ${i}`).toBe(false);
        if (i >= 80 * 8) expect(answer.kind, `bit ${i}`).toBe('invalid');
      }
    }
  });

  it('never throws, whatever the bytes behind a mined header are', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), fc.integer(), (tail, seed) => {
        const block = smallBlock(seed);
        const random = seededRandom(seed);
        const noise = mine(Uint8Array.from([...block.subarray(0, 80), ...tail]));
        expect(scan(noise).kind).toBe('invalid');
        const spliced = Uint8Array.from(block);
        for (let i = 0; i < 5; i++) spliced[80 + below(random, block.length - 80)] = below(random, 256);
        expect(['invalid', 'scanned']).toContain(scan(spliced).kind);
      }),
      { numRuns: 300 },
    );
  });

  it('rejects bytes behind the last transaction, and more than four million', () => {
    expect(reasonOf(scan(Uint8Array.from([...smallBlock(), 0])))).toBe('trailing-bytes');
    expect(reasonOf(scan(new Uint8Array(4_000_001)))).toBe('too-large');
  });
});

/** Writes a header for raw transactions: what bitcoinjs-lib would not write. */
function rawBlock(
  transactions: readonly Uint8Array[],
  txids: readonly Uint8Array[],
  count?: readonly number[],
): Uint8Array {
  const body = Buffer.concat([Buffer.from(count ?? [transactions.length]), ...transactions]);
  const block = Buffer.concat([sealBlock([coinbaseTransaction(seededRandom(1))]).subarray(0, 80), body]);
  block.set(merkleRootOf(txids), 36);
  return mine(block);
}

describe('scanBlock rejects', () => {
  const random = seededRandom(11);
  const coinbase = coinbaseTransaction(random);
  const raw = (tx: Transaction): Uint8Array => tx.toBuffer();

  it('a block without transactions, and one whose first transaction is no coinbase', () => {
    expect(reasonOf(scan(rawBlock([], [], [0])))).toBe('no-transactions');
    const [, other] = generateTransactions({ random, transactions: 2, witnessShare: 0 });
    expect(reasonOf(scan(sealBlock(other ? [other] : [])))).toBe('coinbase-missing');
  });

  it('a second coinbase, and an input that spends nothing beside others', () => {
    expect(reasonOf(scan(sealBlock([coinbase, coinbaseTransaction(random)])))).toBe('malformed-transaction');
    const mixed = generateTransactions({ random, transactions: 2, witnessShare: 0 });
    mixed[1]?.addInput(new Uint8Array(32), 0xffffffff);
    expect(reasonOf(scan(sealBlock(mixed)))).toBe('malformed-transaction');
  });

  it('a length that is written longer than it must be', () => {
    const tx = raw(coinbase);
    const block = rawBlock([tx], [coinbase.getHash()], [0xfd, 1, 0]);
    expect(reasonOf(scan(block))).toBe('malformed-transaction');
    expect(reasonOf(scan(rawBlock([tx], [coinbase.getHash()])))).toBe('scanned');
  });

  it('witness data without any item, and an extension other than witness data', () => {
    const tx = raw(coinbase);
    const extended = (flag: number): Uint8Array =>
      Buffer.concat([tx.subarray(0, 4), Buffer.from([0, flag]), tx.subarray(4, -4), Buffer.from([0]), tx.subarray(-4)]);
    expect(reasonOf(scan(rawBlock([extended(1)], [coinbase.getHash()])))).toBe('malformed-transaction');
    expect(reasonOf(scan(rawBlock([extended(2)], [coinbase.getHash()])))).toBe('malformed-transaction');
  });

  it('an output of more than 21 million bitcoin, but not one of exactly as many', () => {
    const withOutput = (amountSats: bigint): Uint8Array => {
      const tx = coinbaseTransaction(random);
      tx.addOutput(Uint8Array.of(0x51), amountSats);
      return sealBlock([tx]);
    };
    expect(reasonOf(scan(withOutput(2_100_000_000_000_000n)))).toBe('scanned');
    expect(reasonOf(scan(withOutput(2_100_000_000_000_001n)))).toBe('malformed-transaction');
    expect(reasonOf(scan(withOutput(2n ** 63n - 1n)))).toBe('malformed-transaction');
  });

  it('too little work, a target that is easier than the network allows', () => {
    const block = smallBlock();
    expect(
      reasonOf(scanBlock(block, { network: 'mainnet', scripts: createScriptSet(), outpoints: createOutpointSet() })),
    ).toBe('proof-of-work');
    const view = new DataView(block.buffer, block.byteOffset);
    for (let nonce = 0, rejected = false; !rejected; nonce++) {
      view.setUint32(76, nonce, true);
      rejected = reasonOf(scan(block)) === 'proof-of-work';
    }
  });

  it('transactions that are not those of the Merkle root', () => {
    const transactions = generateTransactions({ random, transactions: 5, witnessShare: 0 });
    const block = sealBlock(transactions);
    block.set(randomBytesOf(random, 32), 36);
    expect(reasonOf(scan(mine(block)))).toBe('merkle-root');
  });

  it.each([2, 3, 5, 6, 7, 11, 12])(
    'a block of %i transactions whose end is repeated, which has the same Merkle root',
    (transactionCount) => {
      const transactions = generateTransactions({ random, transactions: transactionCount, witnessShare: 0 });
      const repeats = repetitionsWithTheSameRoot(transactions);
      for (const repeated of repeats) expect(reasonOf(scan(sealBlock(repeated)))).toBe('duplicate-transactions');
      expect(reasonOf(scan(sealBlock(transactions)))).toBe('scanned');
      // An even tree at every level has no such twin.
      expect(repeats.length > 0).toBe(!Number.isInteger(Math.log2(transactionCount)));
    },
  );

  it('the same paying transaction twice, also where the Merkle tree does not show it', () => {
    const transactions = generateTransactions({ random, transactions: 4, witnessShare: 0 });
    const again = transactions[1];
    const block = sealBlock(again ? [...transactions, again] : []);
    const script = Buffer.from(again?.outs[0]?.script ?? []).toString('hex');
    expect(reasonOf(scan(block, { scripts: [script], outpoints: [] }))).toBe('duplicate-transactions');
  });

  it('a watched coin that is spent twice', () => {
    const transactions = generateTransactions({ random, transactions: 3, witnessShare: 0 });
    const hash = randomBytesOf(random, 32);
    transactions[1]?.addInput(hash, 4);
    transactions[2]?.addInput(hash, 4);
    const outpoint = `${Buffer.from(hash).reverse().toString('hex')}:4`;
    expect(reasonOf(scan(sealBlock(transactions), { scripts: [], outpoints: [outpoint] }))).toBe('double-spend');
  });

  it('more weight than four million, but not four million', () => {
    const heavy = (witnessBytes: number): Uint8Array => {
      const transactions = generateTransactions({ random: seededRandom(1), transactions: 1, witnessShare: 0 });
      const spender = new Transaction();
      spender.addInput(randomBytesOf(seededRandom(2), 32), 0);
      spender.addOutput(new Uint8Array(700_000), 1n);
      spender.setWitness(0, [new Uint8Array(witnessBytes)]);
      transactions.push(spender);
      commitToWitnesses(transactions, seededRandom(2));
      return sealBlock(transactions);
    };
    const weightOf = (block: Uint8Array, witnessBytes: number): number => {
      // Beside the item, witness data is: two markers, stack size and length (5 bytes), the coinbase's stack (34 bytes).
      const stripped = block.length - witnessBytes - (2 + 1 + 5) - (2 + 34);
      return 3 * stripped + block.length;
    };
    const base = heavy(1_000_000);
    const room = 4_000_000 - weightOf(base, 1_000_000);
    expect(reasonOf(scan(heavy(1_000_000 + room)))).toBe('scanned');
    expect(reasonOf(scan(heavy(1_000_000 + room + 1)))).toBe('too-large');
  });
});

/** Every way to repeat the end of an odd level's last subtree (CVE-2012-2459). */
function repetitionsWithTheSameRoot(transactions: readonly Transaction[]): Transaction[][] {
  const found: Transaction[][] = [];
  for (let width = 1; width < transactions.length; width *= 2) {
    if (transactions.length % width !== 0 || (transactions.length / width) % 2 === 0) continue;
    found.push([...transactions, ...transactions.slice(-width)]);
  }
  return found;
}

describe('the witness commitment (BIP141)', () => {
  const shape = { transactions: 6, witnessShare: 1 };
  /** A block whose coinbase was changed after the commitment; its Merkle root is right. */
  function changed(change: (coinbase: Transaction) => void, seed = 21): Uint8Array {
    const random = seededRandom(seed);
    const transactions = generateTransactions({ random, ...shape });
    commitToWitnesses(transactions, random);
    const [coinbase] = transactions;
    if (coinbase) change(coinbase);
    return sealBlock(transactions);
  }

  it('is checked: the last one counts, and it must be there, right, and with its reserved value', () => {
    expect(reasonOf(scan(changed(() => undefined)))).toBe('scanned');
    const commitments = (coinbase: Transaction): number[] =>
      coinbase.outs.flatMap((out, i) => (out.script.length >= 38 && out.script[2] === 0xaa ? [i] : []));
    const cases: Record<string, (coinbase: Transaction) => void> = {
      missing: (coinbase) => (coinbase.outs = coinbase.outs.slice(0, 1)),
      wrong: (coinbase) => {
        const script = coinbase.outs[commitments(coinbase).at(-1) ?? 0]?.script;
        if (script) script[20] = (script[20] ?? 0) ^ 1;
      },
      'followed by a wrong one': (coinbase) => {
        coinbase.addOutput(Uint8Array.from([0x6a, 0x24, 0xaa, 0x21, 0xa9, 0xed, ...new Uint8Array(32)]), 0n);
      },
      'without witness': (coinbase) => coinbase.setWitness(0, []),
      'with another reserved value': (coinbase) => coinbase.setWitness(0, [new Uint8Array(32)]),
      'with a reserved value of 31 bytes': (coinbase) => coinbase.setWitness(0, [new Uint8Array(31)]),
      'with two values': (coinbase) => coinbase.setWitness(0, [...(coinbase.ins[0]?.witness ?? []), new Uint8Array(0)]),
    };
    for (const [name, change] of Object.entries(cases)) {
      expect(reasonOf(scan(changed(change))), name).toBe('witness-commitment');
    }
  });

  it('may be there without witness data, as in blocks from before segwit', () => {
    const transactions = generateTransactions({ random: seededRandom(5), transactions: 3, witnessShare: 0 });
    transactions[0]?.addOutput(Uint8Array.from([0x6a, 0x24, 0xaa, 0x21, 0xa9, 0xed, ...new Uint8Array(32)]), 0n);
    expect(reasonOf(scan(sealBlock(transactions)))).toBe('scanned');
  });
});
