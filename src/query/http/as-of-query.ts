import { z } from 'zod';
import { hashSchema } from '../../domain/primitives.js';
import type { AsOf } from '../as-of.js';
import { parseDateTime } from '../graphql/scalars.js';

/** As of, in the query string of a GET; each at most once. */
export const asOfQuery = z.strictObject({
  position: z
    .string()
    .regex(/^(0|[1-9][0-9]{0,17})$/, 'must be a position in decimal digits')
    .optional()
    .describe('The state after this event and no later one'),
  time: z
    .string()
    .refine((text) => parseDateTime(text) !== undefined, 'must be a time as RFC 3339 has it')

    .meta({ format: 'date-time' })
    .optional()
    .describe('After the last event recorded at or before this time'),
  height: z
    .string()
    .regex(/^(0|[1-9][0-9]{0,8})$/, 'must be a height in decimal digits')
    .optional()
    .describe('The state when the chain stood at this height, on the branch that was believed at the position'),
  blockHash: hashSchema
    .optional()
    .describe('As height, on the branch that ends in this block, also one that was abandoned'),
});

export function asOfOf({ position, time, height, blockHash }: z.output<typeof asOfQuery>): AsOf | undefined {
  if ([position, time, height, blockHash].every((value) => value === undefined)) return undefined;
  return {
    position: position === undefined ? null : BigInt(position),
    time: time === undefined ? null : (parseDateTime(time) ?? null),
    height: height === undefined ? null : Number(height),
    blockHash: blockHash ?? null,
  };
}
