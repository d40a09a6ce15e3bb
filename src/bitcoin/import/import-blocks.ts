import { FatalError } from '../../platform/errors.js';
import { InvalidBlockError } from '../follow/follower-errors.js';
import { createFollower, type FollowerDeps } from '../follow/follower.js';
import { checkProofOfWork, parseHeader, powLimitOf } from '../scan/parse-header.js';
import { createBlockFileIndex } from './block-file-index.js';
import { createFilesSource } from './files-source.js';
import { findBlocks, openBlockFile, type FileTrouble } from './read-block-file.js';

export interface ImportProgress {
  phase: 'reading' | 'connecting';
  /** Bytes of the files, then blocks. */
  done: number;
  total: number;
}

export interface ImportOptions extends Omit<FollowerDeps, 'source' | 'onFatal' | 'onInvalidBlock'> {
  /** Raw blocks (binary or hex) and blk*.dat, in any order. */
  files: readonly string[];
  onProgress?: (progress: ImportProgress) => void;
}

export interface NamedProblem {
  file: string;
  offset: number;
  problem: FileTrouble['kind'] | 'proof-of-work' | 'invalid-block';
  hash?: string;
  detail: string;
}

export interface ImportSummary {
  files: number;
  /** Whole blocks found, duplicates included. */
  read: number;
  /** Connected now. */
  connected: number;
  /** Taken off now, because the files have a branch with more work. */
  disconnected: number;
  /** Were connected before. */
  alreadyConnected: number;
  /** On branches with less work, or on top of an invalid block. */
  stale: number;
  /** Lead to no block that the ledger knows. */
  foreign: number;
  /** Found more than once in the files. */
  duplicate: number;
  /** Blocks that are not valid. */
  invalid: number;
  /** What was left out and why: the first ones; `problemCount` is all. */
  problems: NamedProblem[];
  problemCount: number;
  tip: { height: number; hash: string } | undefined;
  position: bigint;
}

/** Problems that are named in the summary. */
const MAX_NAMED_PROBLEMS = 100;

/**
 * Connects the blocks of files: reads every header once, finds the branch with the most work on top of what the ledger has, and
 * lets the follower connect it. What does not belong there is counted and named, and is no error. Bounded memory: an index of
 * about 120 bytes a block, and the blocks that are being scanned. Started again, it goes on where it was.
 *
 * @throws FatalError for a file that cannot be read, or a ledger of another network or start
 * @throws RetryableError when the database is away
 */
export async function importBlocks(options: ImportOptions): Promise<ImportSummary> {
  const { files, onProgress = () => undefined, ...deps } = options;
  const index = createBlockFileIndex();
  const problems: NamedProblem[] = [];
  const counts = { read: 0, duplicate: 0, invalid: 0, connected: 0, disconnected: 0, problemCount: 0 };
  const name = (problem: NamedProblem): void => {
    counts.problemCount += 1;
    if (problems.length < MAX_NAMED_PROBLEMS) problems.push(problem);
  };

  await readHeaders();
  const source = createFilesSource(files, index);
  let fatal: { error: unknown } | undefined;
  const follower = createFollower({
    ...deps,
    source,
    onFatal: (error) => (fatal = { error }),
    onInvalidBlock: ({ hash, invalid }) => {
      const place = index.find(hash);
      index.strikeOut(hash);
      source.chooseBranch();
      counts.invalid += 1;
      const { file, offset } = place ?? { file: 0, offset: 0 };
      const detail = `${invalid.reason}: ${invalid.detail}`;
      name({ file: files[file] ?? '', offset, problem: 'invalid-block', hash, detail });
    },
  });
  source.attach(() => follower.chain());
  follower.onCommitted(({ connected, disconnected }) => {
    counts.connected += connected.length;
    counts.disconnected += disconnected.length;
    onProgress({ phase: 'connecting', done: counts.connected, total: source.branch()?.length ?? counts.connected });
  });
  try {
    await follower.start();
    await connectAll();
  } finally {
    await follower.stop();
    await source.close();
  }
  const chain = follower.chain();
  const rest = chain && index.bestBranch(chain);
  return {
    files: files.length,
    ...counts,
    alreadyConnected: Math.max(0, (rest?.connected ?? 0) - counts.connected),
    stale: rest?.stale ?? 0,
    foreign: rest?.foreign ?? 0,
    problems,
    tip: chain?.tip,
    position: follower.status().position,
  };

  async function connectAll(): Promise<void> {
    for (;;) {
      try {
        await follower.syncNow();
        return;
      } catch (error) {
        if (fatal) throw fatal.error;
        // Struck out: the next best branch is tried.
        if (!(error instanceof InvalidBlockError)) throw error;
      }
    }
  }

  async function readHeaders(): Promise<void> {
    const powLimit = powLimitOf(deps.network);
    let doneBytes = 0;
    for (const [number, path] of files.entries()) {
      const file = await openBlockFile(path).catch((error: unknown) => {
        throw new FatalError(`${path} cannot be read`, {}, { cause: error });
      });
      try {
        for await (const entry of findBlocks(file, deps.network)) {
          if ('trouble' in entry) {
            const { kind, offset, detail } = entry.trouble;
            name({ file: path, offset, problem: kind, detail });
            continue;
          }
          const { block } = entry;
          counts.read += 1;
          const header = parseHeader(block.header);
          if (!checkProofOfWork(header, powLimit)) {
            counts.invalid += 1;
            const { hash } = header;
            name({ file: path, offset: block.offset, problem: 'proof-of-work', hash, detail: 'no proof of work' });
          } else if (!index.add(header.hash, { ...block, file: number })) counts.duplicate += 1;
          onProgress({ phase: 'reading', done: doneBytes + block.offset + block.length, total: doneBytes + file.size });
        }
        doneBytes += file.size;
      } finally {
        await file.close();
      }
    }
  }
}
