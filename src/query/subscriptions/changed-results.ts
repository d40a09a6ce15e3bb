import type { ExecutionResult } from 'graphql';

/**
 * Results that differ from the one before; others are not worth a message. A generator whose end does not wait for the next
 * result: a client that goes while nothing moves must not be kept.
 *
 * @param stop ends what the results come from
 */
export function changedResults(
  results: AsyncIterableIterator<ExecutionResult>,
  stop: () => void,
): AsyncGenerator<ExecutionResult, void, void> {
  let last: string | undefined;
  const state = { ended: false };
  const end = (): Promise<IteratorReturnResult<undefined>> => {
    state.ended = true;
    stop();
    return Promise.resolve({ done: true, value: undefined });
  };
  const generator: AsyncGenerator<ExecutionResult, void, void> = {
    next: async () => {
      while (!state.ended) {
        const step = await results.next();
        if (step.done === true || state.ended) break;
        const text = JSON.stringify([step.value.data, step.value.errors]);
        if (text === last) continue;
        last = text;
        return { done: false, value: step.value };
      }
      return end();
    },
    return: end,
    throw: end,
    [Symbol.asyncIterator]: () => generator,
  };
  return generator;
}
