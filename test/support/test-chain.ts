import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { openRegtestChain } from '../../src/bitcoin/regtest/open-regtest-chain.js';
import type { OpenOptions, RegtestChain } from '../../src/bitcoin/regtest/regtest-chain.js';

/** A folder that goes with the test. */
export function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'tallystick-test-chain-'));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/**
 * A built-in chain that is the same every time: fixed block times, a fixed seed of the miner. Closed when the test ends.
 * Premined to 110 blocks unless the test says otherwise.
 */
export async function openTestChain(options: Partial<OpenOptions> = {}): Promise<RegtestChain> {
  const chain = await openRegtestChain({
    directory: options.directory ?? temporaryDirectory(),
    now: () => 1_700_000_000_000,
    random: (bytes) => Buffer.alloc(bytes, 5),
    blockTimes: { kind: 'fixed', startSeconds: 1_400_000_000, stepSeconds: 600 },
    ...options,
  });
  onTestFinished(() => chain.close());
  return chain;
}
