/**
 * A broken invariant is a bug: the process must stop before it writes. Nothing catches this error but the outermost
 * handler of a process, which logs it and exits.
 */
export class InvariantError extends Error {
  override readonly name = 'InvariantError';
}

/**
 * Asserts what must hold; stays on in production.
 *
 * @throws InvariantError when `condition` is false
 */
export function invariant(condition: unknown, message: string): asserts condition {
  if (!condition) throw new InvariantError(message);
}

/** Marks the branch of an exhaustive switch that cannot be reached. */
export function unreachable(value: never, what: string): never {
  throw new InvariantError(`unexpected ${what}: ${JSON.stringify(value)}`);
}
