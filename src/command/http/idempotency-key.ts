import { ProblemError } from '../../platform/http/problem.js';

export const MAX_KEY_LENGTH = 255;

/** A bare key: printable ASCII that does not begin with a quote; spaces inside are part of it. */
const BARE = /^[\x21\x23-\x7e]([\x20-\x7e]*[\x21-\x7e])?$/;
/** A string of RFC 8941 (3.3.3): quoted, with `\"` and `\\` as the only escapes. */
const QUOTED = /^"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"$/;

/** Both forms, for the API's description. */
export const KEY_PATTERN = `^([!#-~]([ -~]{0,${MAX_KEY_LENGTH - 2}}[!-~])?|"([ !#-\\[\\]-~]|\\\\["\\\\]){1,${MAX_KEY_LENGTH}}")$`;

/**
 * The key of a command: `abc` and `"abc"` are the same one.
 *
 * @throws ProblemError `idempotency-key-missing`, `idempotency-key-invalid`
 */
export function readIdempotencyKey(header: string | string[] | undefined): string {
  if (header === undefined || header === '') {
    throw new ProblemError(
      'idempotency-key-missing',
      'Send an Idempotency-Key of your own making: with the same one, the same request can be sent again without harm.',
    );
  }
  const key = typeof header === 'string' ? unquote(header) : undefined;
  if (key !== undefined && key.length >= 1 && key.length <= MAX_KEY_LENGTH) return key;
  throw new ProblemError(
    'idempotency-key-invalid',
    `An Idempotency-Key is 1 to ${MAX_KEY_LENGTH} printable ASCII characters, bare or as a quoted string.`,
  );
}

function unquote(header: string): string | undefined {
  const quoted = QUOTED.exec(header)?.[1];
  if (quoted !== undefined) return quoted.replace(/\\(["\\])/g, '$1');
  return BARE.test(header) ? header : undefined;
}
