import { GraphQLScalarType, Kind } from 'graphql';
import type { ValueNode } from 'graphql';
import { ReadError } from '../errors.js';

const MAX_POSITION = 9_223_372_036_854_775_806n;

/** A strict scalar: a string of one form in, a string of the same form out. */
function stringScalar<T>(
  name: string,
  form: { parse: (text: string) => T | undefined; wanted: string; serialize: (value: unknown) => string },
): GraphQLScalarType {
  const read = (value: unknown): T => {
    const parsed = typeof value === 'string' ? form.parse(value) : undefined;
    if (parsed === undefined) throw new ReadError('BAD_USER_INPUT', `${name} must be ${form.wanted}, as a string`);
    return parsed;
  };
  return new GraphQLScalarType({
    name,
    serialize: form.serialize,
    parseValue: read,
    parseLiteral: (node: ValueNode) => read(node.kind === Kind.STRING ? node.value : undefined),
  });
}

function serializeBigint(value: unknown): string {
  if (typeof value !== 'bigint') throw new TypeError('amounts and positions are bigint');
  return value.toString();
}

function serializeText(value: unknown): string {
  if (typeof value !== 'string') throw new TypeError('hashes are strings');
  return value;
}

function serializeDate(value: unknown): string {
  if (!(value instanceof Date)) throw new TypeError('times are dates');
  return value.toISOString();
}

/** RFC 3339, section 5.6, without leap seconds, which no clock of ours ever says. */
const RFC_3339 = /^(\d{4})-(\d{2})-(\d{2})T(\d{2}):(\d{2}):(\d{2})(?:\.(\d{1,9}))?(Z|[+-]\d{2}:\d{2})$/;

/** Milliseconds; finer digits are cut off, which is right for "at or before". Undefined for dates that do not exist. */
export function parseDateTime(text: string): Date | undefined {
  const match = RFC_3339.exec(text);
  if (match === null) return undefined;
  const [, year = '', month = '', day = '', hour = '', minute = '', second = '', fraction = '', zone = ''] = match;
  const milliseconds = fraction.padEnd(3, '0').slice(0, 3);
  const local = new Date(`${year}-${month}-${day}T${hour}:${minute}:${second}.${milliseconds}Z`);
  // 31 February: JavaScript goes on counting into March.
  if (Number.isNaN(local.getTime()) || local.getUTCDate() !== Number(day) || hour === '24') return undefined;
  if (zone === 'Z') return local;
  const [hours = 0, minutes = 0] = zone.slice(1).split(':').map(Number);
  if (hours > 23 || minutes > 59) return undefined;
  const offset = (hours * 60 + minutes) * 60_000;
  return new Date(local.getTime() + (zone.startsWith('-') ? offset : -offset));
}

const hash = {
  parse: (text: string) => (/^[0-9a-f]{64}$/.test(text) ? text : undefined),
  wanted: '64 lower-case hex digits',
  serialize: serializeText,
};

export const SCALARS: Readonly<Record<string, GraphQLScalarType>> = {
  Sats: stringScalar('Sats', {
    parse: (text) => (/^(0|-?[1-9][0-9]{0,15})$/.test(text) ? BigInt(text) : undefined),
    wanted: 'satoshis in decimal digits',
    serialize: serializeBigint,
  }),
  Position: stringScalar('Position', {
    parse: (text) => (/^(0|[1-9][0-9]{0,18})$/.test(text) && BigInt(text) <= MAX_POSITION ? BigInt(text) : undefined),
    wanted: 'a position in decimal digits',
    serialize: serializeBigint,
  }),
  DateTime: stringScalar('DateTime', {
    parse: parseDateTime,
    wanted: 'a time as RFC 3339 has it',
    serialize: serializeDate,
  }),
  BlockHash: stringScalar('BlockHash', hash),
  Txid: stringScalar('Txid', hash),
  JSON: new GraphQLScalarType({ name: 'JSON', serialize: (value) => value }),
};
