import { SourceError, type BlockSource } from '../block-source.js';

/** The source, but no call outlasts the signal: a node that hangs must not keep the process from ending. */
export function abortableSource(source: BlockSource, signal: AbortSignal): BlockSource {
  // A listener for each call instead of a race with one promise, which would keep every call in memory until the end.
  const until = <T>(call: Promise<T>): Promise<T> =>
    new Promise((resolve, reject) => {
      const onAbort = (): void => reject(new SourceError('unavailable', 'The follower is stopping.'));
      if (signal.aborted) onAbort();
      signal.addEventListener('abort', onAbort, { once: true });
      call.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
    });
  return {
    name: source.name,
    check: () => until(source.check()),
    tip: () => until(source.tip()),
    hashAt: (height) => until(source.hashAt(height)),
    hashesAt: (heights) =>
      until(source.hashesAt?.(heights) ?? Promise.all(heights.map((height) => source.hashAt(height)))),
    headers: (hashes) => until(source.headers(hashes)),
    blocks: (hashes) => until(source.blocks(hashes)),
    onWake: (callback) => source.onWake(callback),
    close: () => source.close(),
  };
}
