import { expect, test } from 'vitest';
import { workOf } from './work.js';

test('work of known targets: genesis of mainnet and of regtest', () => {
  // Bitcoin Core's chainwork of block 0: 0x100010001 on mainnet, 2 on regtest.
  expect(workOf(0x1d00ffff)).toBe(0x100010001n);
  expect(workOf(0x207fffff)).toBe(2n);
});

test('a harder target is more work', () => {
  expect(workOf(0x1b0404cb)).toBeGreaterThan(workOf(0x1c0404cb));
});

test('targets that are zero, negative or too large prove nothing', () => {
  expect(workOf(0)).toBe(0n);
  expect(workOf(0x01003456)).toBe(0n);
  expect(workOf(0x04923456)).toBe(0n);
  expect(workOf(0xff123456)).toBe(0n);
});
