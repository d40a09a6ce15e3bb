import { expect, test } from 'vitest';
import { NETWORK_NAMES } from '../network.js';
import { checkProofOfWork, parseHeader, powLimitOf } from '../scan/parse-header.js';
import { GENESIS } from './genesis.js';

test.each(NETWORK_NAMES)('the genesis header of %s hashes to its hash and has its proof of work', (network) => {
  const { hash, time, bits, nonce, merkleRoot } = GENESIS[network];
  const header = Buffer.alloc(80);
  header.writeInt32LE(1, 0);
  Buffer.from(merkleRoot, 'hex').reverse().copy(header, 36);
  [time, bits, nonce].forEach((value, i) => header.writeUInt32LE(value, 68 + 4 * i));
  const parsed = parseHeader(header);
  expect(parsed.hash).toBe(hash);
  expect(checkProofOfWork(parsed, powLimitOf(network))).toBe(true);
});
