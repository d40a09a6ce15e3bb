import { randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseDescriptor } from '../descriptors/parse-descriptor.js';
import type { NetworkName } from '../network.js';
import { createLocalKeys, keyFileName, KeyFileError, type LocalKeys } from './local-keys.js';

let folder: string;
let directory: string;
const keysFor = (network: NetworkName = 'regtest'): LocalKeys => createLocalKeys({ directory, network, randomBytes });

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tallystick-keys-'));
  directory = join(folder, 'keys');
});
afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

describe('keys of signer local', () => {
  it('are made once, and readable by their owner alone', async () => {
    const first = await keysFor().ensure('hot');
    expect(first.descriptor).toMatch(/^wpkh\(\[[0-9a-f]{8}\/84'\/1'\/0'\]tpub\w{107}\/<0;1>\/\*\)#\w{8}$/);
    expect(parseDescriptor(first.descriptor, 'regtest')).toHaveProperty('change.kind', 'wpkh');
    expect(await keysFor().ensure('hot')).toEqual(first);
    expect(statSync(directory).mode & 0o777).toBe(0o700);
    const files = readdirSync(directory);
    expect(files).toEqual([keyFileName('hot')]);
    expect(statSync(join(directory, keyFileName('hot'))).mode & 0o777).toBe(0o600);
  });

  it('are the same for all who ask at once', async () => {
    const made = await Promise.all(Array.from({ length: 50 }, () => keysFor().ensure('hot')));
    expect(new Set(made.map(({ descriptor }) => descriptor)).size).toBe(1);
    expect(readdirSync(directory)).toEqual([keyFileName('hot')]);
  });

  it('differ between wallets, also where the names differ only in characters that a file name cannot hold', async () => {
    const ids = ['a:b', 'a.b', 'a_b', 'A_B', '..', '.', 'x'.repeat(64), 'CON'];
    const made = await Promise.all(ids.map((id) => keysFor().ensure(id)));
    expect(new Set(made.map(({ accountKey }) => accountKey)).size).toBe(ids.length);
    const names = readdirSync(directory);
    expect(names).toHaveLength(ids.length);
    // Some file systems do not tell upper from lower case.
    expect(new Set(names.map((name) => name.toLowerCase())).size).toBe(ids.length);
    for (const name of names) expect(name).toMatch(/^[A-Za-z0-9_-]+\.json$/);
  });

  it('survive a process that died while it wrote them', async () => {
    // What is left of it: a temporary file, whole or not, and no key under the wallet's name.
    await keysFor().ensure('other');
    writeFileSync(join(directory, `${keyFileName('hot')}.0123456789abcdef.tmp`), '{"version":1,"wal');
    const made = await keysFor().ensure('hot');
    expect(await keysFor().ensure('hot')).toEqual(made);
  });

  it('are never written over when the file is damaged or belongs to another wallet', async () => {
    await keysFor().ensure('hot');
    const path = join(directory, keyFileName('hot'));
    const good = readFileSync(path, 'utf8');
    const seed = (JSON.parse(good) as { seed: string }).seed;
    for (const bad of ['', good.slice(0, -5), good.replace('"hot"', '"cold"'), good.replace('regtest', 'signet')]) {
      writeFileSync(path, bad);
      const failure = await keysFor()
        .ensure('hot')
        .catch((error: unknown) => error);
      expect(failure).toBeInstanceOf(KeyFileError);
      expect(JSON.stringify(failure, Object.getOwnPropertyNames(failure))).not.toContain(seed.slice(0, 8));
      expect(readFileSync(path, 'utf8')).toBe(bad);
    }
  });

  it.each(['mainnet', 'testnet4'] as const)('are not kept on %s', async (network) => {
    await expect(keysFor(network).ensure('hot')).rejects.toThrow(KeyFileError);
    expect(readdirSync(folder)).toEqual([]);
  });

  it('are made of the randomness that is passed in, all of it', async () => {
    const fixed = createLocalKeys({ directory, network: 'signet', randomBytes: (count) => Buffer.alloc(count, 7) });
    await fixed.ensure('hot');
    const file = JSON.parse(readFileSync(join(directory, keyFileName('hot')), 'utf8')) as { seed: string };
    expect(file.seed).toBe('07'.repeat(32));
  });
});
