import { badUserInput } from './errors.js';

/**
 * Cursors are opaque: base64url of `1:<list>:<key>:<key>…`, keys that never change (positions, ids). So a cursor stays valid
 * while rows arrive, and at every other moment that is asked about. The leading number is the version of the form.
 */
const VERSION = '1';

/** Longest cursor that is looked at. */
const MAX_CURSOR_LENGTH = 400;

export function encodeCursor(list: string, keys: readonly (string | number | bigint)[]): string {
  return Buffer.from([VERSION, list, ...keys.map((key) => encodeURIComponent(String(key)))].join(':')).toString(
    'base64url',
  );
}

/** What keys of a list look like. */
export type KeyPattern = 'position' | 'int' | 'text';

const PATTERNS: Readonly<Record<KeyPattern, RegExp>> = {
  position: /^(0|[1-9][0-9]{0,18})$/,
  int: /^(0|[1-9][0-9]{0,8})$/,
  // Ids of our own making: hex, `IN:<txid>:<index>`.
  text: /^[A-Za-z0-9_.:-]{1,200}$/,
};

/**
 * The keys of a cursor of this list, undefined where there is none.
 *
 * @throws ReadError BAD_USER_INPUT for a cursor of another list, and for anything that `encodeCursor` did not make
 */
export function decodeCursor(
  list: string,
  patterns: readonly KeyPattern[],
  cursor: string | null | undefined,
): string[] | undefined {
  if (cursor === null || cursor === undefined) return undefined;
  const refused = badUserInput('after', 'is not a cursor of this list');
  if (cursor.length > MAX_CURSOR_LENGTH || !/^[A-Za-z0-9_-]+$/.test(cursor)) throw refused;
  const [version, name, ...parts] = Buffer.from(cursor, 'base64url').toString('utf8').split(':');
  if (version !== VERSION || name !== list || parts.length !== patterns.length) throw refused;
  const keys = parts.map((part) => {
    try {
      return decodeURIComponent(part);
    } catch {
      throw refused;
    }
  });
  const fits = keys.every((key, index) => PATTERNS[patterns[index] ?? 'text'].test(key));
  // Only the very text that we make: no second form of the same cursor.
  if (!fits || encodeCursor(list, keys) !== cursor) throw refused;
  return keys;
}
