/** Deeper than any event needs, and far from where the JSON parser of PostgreSQL runs out of stack. */
const MAX_JSON_DEPTH = 64;

/** With `u`, a pair is one character, so only the half of one matches. */
const LONE_SURROGATE = /\p{Surrogate}/u;

/** A value that would not come back from the log as it went in. A bug of the caller: nothing was appended. */
export class NotStorableError extends Error {
  override readonly name = 'NotStorableError';
  constructor(
    /** JSON pointer (RFC 6901) to the value. */
    readonly pointer: string,
    readonly reason: string,
  ) {
    super(`${pointer === '' ? 'value' : pointer} ${reason}`);
  }
}

/**
 * JSON text of a value that comes back from the log equal to what went in. `undefined` members of objects are left out, as
 * JSON does.
 *
 * @throws NotStorableError for what JSON or PostgreSQL would change or refuse: numbers beyond 2^53 (amounts are strings),
 *   NaN, NUL characters and lone surrogates in strings, bigint, dates, functions, nesting deeper than MAX_JSON_DEPTH
 */
export function toStorableJson(value: unknown): string {
  // Nearly every value is plain, and saying so needs no pointers: building them took a fifth of an append's time in this process.
  if (!isPlain(value, 0)) check(value, '', 0);
  const json = JSON.stringify(value);
  // What a string may not hold is escaped in JSON (a lone surrogate since ECMA-262, 2019), so nothing else needs to be looked for.
  if (json.includes('\\u')) check(value, '', 0);
  return json;
}

/** False where something may be wrong, apart from what strings and names hold; `check` then finds out what. */
function isPlain(value: unknown, depth: number): boolean {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return true;
    case 'number':
      return Math.abs(value) <= Number.MAX_SAFE_INTEGER;
    case 'object':
      if (value === null) return true;
      if (depth >= MAX_JSON_DEPTH) return false;
      if (Array.isArray(value)) {
        for (let index = 0; index < value.length; index++) if (!isPlain(value[index], depth + 1)) return false;
        return true;
      }
      return hasPlainMembers(value, depth);
    default:
      return false;
  }
}

function hasPlainMembers(value: object, depth: number): boolean {
  if (Object.getPrototypeOf(value) !== Object.prototype) return false;
  // Inherited members would be seen too: refused, or checked in vain.
  for (const name in value) {
    const member = (value as Record<string, unknown>)[name];
    if (member !== undefined && !isPlain(member, depth + 1)) return false;
  }
  return true;
}

/** @throws NotStorableError for a NUL character or a lone surrogate: `text` of PostgreSQL cannot hold them */
export function checkStorableText(text: string, pointer: string): void {
  if (text.includes('\0')) throw new NotStorableError(pointer, 'holds a NUL character');
  if (LONE_SURROGATE.test(text)) throw new NotStorableError(pointer, 'holds a lone surrogate');
}

function check(value: unknown, pointer: string, depth: number): void {
  switch (typeof value) {
    case 'string':
      checkStorableText(value, pointer);
      return;
    case 'number':
      if (!Number.isFinite(value)) throw new NotStorableError(pointer, `is ${value}, which JSON has no word for`);
      if (Math.abs(value) > Number.MAX_SAFE_INTEGER) {
        throw new NotStorableError(pointer, `is ${value}, beyond 2^53: large numbers are strings`);
      }
      return;
    case 'boolean':
      return;
    case 'object':
      if (value === null) return;
      if (depth >= MAX_JSON_DEPTH) throw new NotStorableError(pointer, `is nested deeper than ${MAX_JSON_DEPTH}`);
      if (Array.isArray(value)) {
        for (let index = 0; index < value.length; index++) check(value[index], `${pointer}/${index}`, depth + 1);
        return;
      }
      checkMembers(value, pointer, depth);
      return;
    case 'undefined':
    case 'bigint':
    case 'symbol':
    case 'function':
      throw new NotStorableError(pointer, `is of type ${typeof value}, which JSON cannot hold`);
  }
}

function checkMembers(value: object, pointer: string, depth: number): void {
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) {
    throw new NotStorableError(pointer, 'is an object of a class, which would not come back as one');
  }
  for (const [name, member] of Object.entries(value)) {
    if (member === undefined) continue;
    const at = `${pointer}/${name}`;
    checkStorableText(name, at);
    check(member, at, depth + 1);
  }
}
