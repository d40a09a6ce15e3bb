import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { createOutpointSet } from '../../src/bitcoin/scan/outpoint-set.js';
import { scanBlock } from '../../src/bitcoin/scan/scan-block.js';
import { createScriptSet } from '../../src/bitcoin/scan/script-set.js';
import type { BlockInvalid, ScannedBlock } from '../../src/bitcoin/scan-types.js';
import { everythingIn, oracleScan } from '../support/oracle-scan.js';

/** Mainnet's magic, with which each block of a blk*.dat file begins; its length follows in 4 bytes. */
const MAGIC = 'f9beb4d9';

function dataFile(name: string): Buffer {
  const folder = process.env['TALLYSTICK_BLOCKS_DIR'];
  if (!folder) throw new Error('TALLYSTICK_BLOCKS_DIR must name the folder with the mainnet blocks');
  return readFileSync(join(folder, name));
}

function framedBlocks(file: Buffer): Buffer[] {
  const blocks: Buffer[] = [];
  for (let offset = 0; offset < file.length;) {
    expect(file.toString('hex', offset, offset + 4)).toBe(MAGIC);
    const end = offset + 8 + file.readUInt32LE(offset + 4);
    blocks.push(file.subarray(offset + 8, end));
    offset = end;
  }
  return blocks;
}

function scan(block: Buffer, scripts: readonly string[], outpoints: readonly string[]): ScannedBlock | BlockInvalid {
  const scriptSet = createScriptSet();
  scripts.forEach((script, owner) => scriptSet.add(Buffer.from(script, 'hex'), owner));
  const outpointSet = createOutpointSet();
  for (const outpoint of outpoints) {
    const [txid = '', vout = ''] = outpoint.split(':');
    outpointSet.add(txid, Number(vout));
  }
  return scanBlock(block, { network: 'mainnet', scripts: scriptSet, outpoints: outpointSet });
}

function expectOracle(block: Buffer, scripts: readonly string[], outpoints: readonly string[]): void {
  const owners = new Map(scripts.map((script, owner) => [script, owner]));
  const expected = oracleScan(block, owners, new Set(outpoints));
  expect(scan(block, scripts, outpoints)).toEqual({ kind: 'scanned', size: block.length, ...expected });
}

describe('a whole mainnet block of May 2019', () => {
  const block = dataFile('mainnet-2019-05-02-3315tx.raw');
  const { scripts, outpoints } = everythingIn(block);

  it('gives every output and every input that bitcoinjs-lib gives, with everything watched', () => {
    expectOracle(block, scripts, outpoints);
    const answer = scan(block, scripts, outpoints);
    expect(answer).toMatchObject({
      kind: 'scanned',
      transactionCount: 3_315,
      header: { hash: '0000000000000000001602407ac49862a7bca9d00f7f402db20b7be2f5de59d2' },
    });
    if (answer.kind !== 'scanned') return;
    expect(answer.outputs).toHaveLength(8_150);
    // All inputs but the coinbase's.
    expect(answer.spends).toHaveLength(5_054);
  });

  it('gives the spends of outputs of the same block when only scripts are watched, and nothing for nothing', () => {
    expectOracle(block, scripts, []);
    const some = scripts.filter((_, i) => i % 7 === 0);
    expectOracle(block, some, []);
    expectOracle(block, [], []);
  });

  it('is rejected when any part of it is changed', () => {
    const step = 997;
    for (let at = 80; at < block.length; at += step * 13) {
      const changed = Buffer.from(block);
      changed[at] = (changed[at] ?? 0) ^ 0x10;
      expect(scan(changed, [], []).kind, `byte ${at}`).toBe('invalid');
    }
  });
});

describe('mainnet blocks 1 to 255', () => {
  const blocks = framedBlocks(dataFile('mainnet-000001-000255.blk.dat'));

  it('are all there, each on the one before, and read as bitcoinjs-lib reads them', () => {
    expect(blocks).toHaveLength(255);
    let tip = '000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f';
    for (const block of blocks) {
      const { scripts, outpoints } = everythingIn(block);
      expectOracle(block, scripts, outpoints);
      const answer = scan(block, scripts, outpoints);
      expect(answer).toMatchObject({ kind: 'scanned', header: { prevHash: tip } });
      if (answer.kind === 'scanned') tip = answer.header.hash;
    }
  });

  it('show the first payment between two people: 10 of the 50 bitcoin of block 9, 40 in change', () => {
    const [block9, block170] = [blocks[8], blocks[169]];
    if (!block9 || !block170) throw new Error('blocks are missing');
    const reward = scan(block9, everythingIn(block9).scripts, []);
    const coin = reward.kind === 'scanned' ? reward.outputs[0] : undefined;
    const payment = scan(block170, everythingIn(block170).scripts, [`${coin?.txid}:${coin?.vout}`]);
    expect(payment).toMatchObject({
      kind: 'scanned',
      header: { hash: expect.stringMatching(/^00000000d1145790/) as string },
      spends: [{ vin: 0, prevTxid: coin?.txid, prevVout: 0 }],
    });
    if (payment.kind !== 'scanned') return;
    expect(payment.outputs.filter((output) => !output.coinbase).map((output) => output.amountSats)).toEqual([
      1_000_000_000n,
      4_000_000_000n,
    ]);
  });
});
