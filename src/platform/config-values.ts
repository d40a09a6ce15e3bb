import { ConfigError } from './config-error.js';

/** The value of a variable, undefined where it is not set or empty. */
export type Get = (name: string) => string | undefined;

export function readUrl(get: Get, name: string, protocols: readonly string[]): string | undefined {
  const text = get(name);
  if (text === undefined) return undefined;
  // The value may hold a password: it is never repeated in the message.
  if (!URL.canParse(text) || !protocols.includes(new URL(text).protocol)) {
    throw new ConfigError(
      name,
      `must be a URL that begins with ${protocols.map((protocol) => `${protocol}//`).join(' or ')}`,
    );
  }
  return text;
}

export function oneOf<const T extends string>(get: Get, name: string, allowed: readonly T[], fallback: T): T {
  const value = get(name) ?? fallback;
  const found = allowed.find((candidate) => candidate === value);
  if (found === undefined) throw new ConfigError(name, `'${value}' is not one of ${allowed.join(', ')}`);
  return found;
}

export function integer(get: Get, name: string, range: { min: number; max: number; fallback: number }): number {
  const text = get(name);
  if (text === undefined) return range.fallback;
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < range.min || value > range.max) {
    throw new ConfigError(name, `'${text}' is not a whole number from ${range.min} to ${range.max}`);
  }
  return value;
}

/**
 * A decimal number above zero, exactly: in units of the last decimal place.
 *
 * @param range.max in whole units
 */
export function decimal(
  get: Get,
  name: string,
  range: { decimals: number; max: number; fallback: string; unit: string },
): bigint {
  const { decimals, max, fallback, unit } = range;
  const text = get(name) ?? fallback;
  const match = /^(\d{1,9})(?:\.(\d+))?$/.exec(text);
  const places = match?.[2] ?? '';
  const value = match && places.length <= decimals ? BigInt(`${match[1]}${places.padEnd(decimals, '0')}`) : 0n;
  if (value <= 0n || value > BigInt(max) * 10n ** BigInt(decimals)) {
    throw new ConfigError(
      name,
      `'${text}' is not a number of ${unit} above 0 and up to ${max}, with ${decimals} decimals at most`,
    );
  }
  return value;
}
