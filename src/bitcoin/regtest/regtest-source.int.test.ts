import { describe, expect, it } from 'vitest';
import { accepted } from '../../../test/support/regtest-coins.js';
import { openTestChain } from '../../../test/support/test-chain.js';
import { SourceError } from '../block-source.js';
import { createRegtestSource } from './regtest-source.js';

describe('the built-in chain as a source of blocks', () => {
  it('gives tip, hashes, headers and blocks, stale ones too', async () => {
    const chain = await openTestChain();
    const source = createRegtestSource(chain);
    await source.check();
    const stale = chain.tip().hash;
    accepted(await chain.reorg({ depth: 1, blocks: 2 }));
    const tip = await source.tip();
    expect(tip).toEqual({ hash: chain.hashAt(111), height: 111 });
    expect(await source.hashAt(112)).toBeUndefined();
    const [header, unknown] = await source.headers([stale, 'ab'.repeat(32)]);
    expect(header).toHaveLength(80);
    expect(unknown).toBeUndefined();
    const [block] = await source.blocks([stale]);
    expect(Buffer.from(block?.subarray(0, 80) ?? []).equals(Buffer.from(header ?? []))).toBe(true);
  });

  it('says so when it does not have a block', async () => {
    const source = createRegtestSource(await openTestChain());
    const error: unknown = await source.blocks(['ab'.repeat(32)]).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(SourceError);
    expect(error).toMatchObject({ trouble: 'block-missing' });
  });

  it('wakes with each change of the tip, until it is stopped or closed; the chain stays open', async () => {
    const chain = await openTestChain();
    const source = createRegtestSource(chain);
    const woken: string[] = [];
    const stopFirst = source.onWake(() => woken.push('first'));
    source.onWake(() => woken.push('second'));
    accepted(await chain.mine({ blocks: 2 }));
    stopFirst();
    accepted(await chain.mine({ blocks: 1 }));
    await source.close();
    accepted(await chain.mine({ blocks: 1 }));
    expect(woken).toEqual(['first', 'second', 'second']);
  });
});
