import { hash } from 'node:crypto';

/**
 * A UUID of our own making (RFC 9562, version 8) from the SHA-256 of the parts: the same command gives the same event id
 * however often it is sent, so that a retried append is the same event.
 */
export function deterministicUuid(...parts: readonly (string | number)[]): string {
  // JSON, because it tells ["ab", "c"] from ["a", "bc"].
  const digits = hash('sha256', JSON.stringify(parts), 'hex');
  const variant = ((parseInt(digits.charAt(16), 16) & 0x3) | 0x8).toString(16);
  return `${digits.slice(0, 8)}-${digits.slice(8, 12)}-8${digits.slice(13, 16)}-${variant}${digits.slice(17, 20)}-${digits.slice(20, 32)}`;
}
