import { LRUCache } from 'lru-cache';
import { invariant } from '../../platform/assert.js';
import { SourceError, type BlockSource } from '../block-source.js';
import type { ConnectedChain } from '../follow/chain-index.js';
import type { BestBranch, BlockFileIndex } from './block-file-index.js';
import { openBlockFile, type BlockFile } from './read-block-file.js';

/** Blocks of one branch are spread over few files: nodes write them nearly in order. */
const MAX_OPEN_FILES = 16;

export interface FilesSource extends BlockSource {
  /** Where the connected chain is looked up: the follower's. Before the first use. */
  attach(chain: () => ConnectedChain | undefined): void;
  /** Looks for the best branch anew: a block was struck out. */
  chooseBranch(): void;
  /** The branch that is being connected, once the chain is open. */
  branch(): BestBranch | undefined;
}

/** Block files as a source to follow: its best chain is the branch with the most work on top of what is connected. */
export function createFilesSource(files: readonly string[], index: BlockFileIndex): FilesSource {
  let chainOf: () => ConnectedChain | undefined = () => undefined;
  let chosen: BestBranch | undefined;
  const opened = new LRUCache<number, Promise<BlockFile>>({
    max: MAX_OPEN_FILES,
    dispose: (file) => void file.then((open) => open.close()),
  });

  const chain = (): ConnectedChain => {
    const connected = chainOf();
    invariant(connected, 'the chain is open');
    return connected;
  };
  const branch = (): BestBranch => (chosen ??= index.bestBranch(chain()));
  const fileOf = (number: number): Promise<BlockFile> => {
    const path = files[number];
    invariant(path !== undefined, `there is no file ${number}`);
    const file = opened.get(number) ?? openBlockFile(path);
    opened.set(number, file);
    return file;
  };

  return {
    name: 'files',
    attach: (connected) => void (chainOf = connected),
    chooseBranch: () => void (chosen = undefined),
    branch: () => chosen,
    check: () => Promise.resolve(),
    tip() {
      const best = branch();
      const hash = best.hashAt(best.length - 1);
      return Promise.resolve(hash === undefined ? chain().tip : { hash, height: best.forkHeight + best.length });
    },
    hashAt(height) {
      const best = branch();
      const above = height - best.forkHeight;
      return Promise.resolve(above <= 0 ? chain().hashAt(height) : best.hashAt(above - 1));
    },
    headers: (hashes) => Promise.resolve(hashes.map((hash) => index.find(hash)?.header)),
    blocks: (hashes) =>
      Promise.all(
        hashes.map(async (hash) => {
          const place = index.find(hash);
          if (!place) throw new SourceError('block-missing', 'No file has this block.', { hash });
          const file = await fileOf(place.file);
          const raw = await file.read(place.offset, place.length);
          if (raw.length !== place.length) {
            throw new SourceError('block-missing', 'A file has become shorter.', { file: file.path, hash });
          }
          return raw;
        }),
      ),
    onWake: () => () => undefined,
    close() {
      opened.clear();
      return Promise.resolve();
    },
  };
}
