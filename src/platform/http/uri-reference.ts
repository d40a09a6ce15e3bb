/** What may stand in a path as it is: RFC 3986 (3.3), and the percent sign of an escape. */
const NOT_IN_A_PATH = /[^A-Za-z0-9\-._~!$&'()*+,;=:@/%]|%(?![0-9A-Fa-f]{2})/g;

/**
 * A path that came with a request, however odd, as a URI reference (RFC 3986) that means that path: for `instance` of a
 * problem (RFC 9457, 3.1.5).
 *
 * @param path of bytes, as Node gives it, and possibly cut in the middle of an escape
 */
export function uriReference(path: string): string {
  return path
    .replace(/%[0-9A-Fa-f]?$/, '')
    .replace(NOT_IN_A_PATH, escapeByte)
    .replace(/^\/\//, '/.//'); // Two slashes would begin the name of a host.
}

function escapeByte(character: string): string {
  return [...Buffer.from(character, 'latin1')]
    .map((byte) => `%${byte.toString(16).padStart(2, '0').toUpperCase()}`)
    .join('');
}
