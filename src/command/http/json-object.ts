import { z } from 'zod';

/** Bytes of an account's metadata as JSON: room for references and names, not for documents. */
export const MAX_METADATA_BYTES = 16 * 1024;
/** Levels of nesting: no reader of the log should need a stack for it. */
const MAX_DEPTH = 8;

const JSON_TEXT = { type: 'string', pattern: '^[^\\u0000]*$' };

/** For the API's description, as the component `Json`: all that `problemOf` below demands but the depth. */
export const JSON_COMPONENT = {
  description: 'Any JSON, without U+0000 and with numbers up to 2^53',
  anyOf: [
    JSON_TEXT,
    { type: 'number', minimum: -Number.MAX_SAFE_INTEGER, maximum: Number.MAX_SAFE_INTEGER },
    { type: 'boolean' },
    { type: 'null' },
    { type: 'array', items: { $ref: '#/components/schemas/Json' } },
    { type: 'object', propertyNames: JSON_TEXT, additionalProperties: { $ref: '#/components/schemas/Json' } },
  ],
};

/**
 * An object of any JSON that comes back exactly as it was given. What the database or a later reader could not give back is
 * refused: the NUL character and halves of surrogate pairs (PostgreSQL's jsonb takes neither), and whole numbers beyond
 * 2^53, which a parser has already changed when we see them.
 */
export const jsonObjectSchema = z
  .record(z.string(), z.unknown())
  .superRefine((value, context) => {
    const problem = problemOf(value, 1);
    if (problem !== undefined) context.addIssue({ code: 'custom', path: problem.path, message: problem.message });
    else if (Buffer.byteLength(JSON.stringify(value)) > MAX_METADATA_BYTES) {
      context.addIssue({ code: 'custom', message: `must be at most ${MAX_METADATA_BYTES} bytes as JSON` });
    }
  })
  .meta({
    description: `Anything of your own, given back as it is: at most ${MAX_METADATA_BYTES} bytes as JSON, nested at most ${MAX_DEPTH} levels deep`,
    type: 'object',
    propertyNames: JSON_TEXT,
    additionalProperties: { $ref: '#/components/schemas/Json' },
  });

interface Problem {
  path: PropertyKey[];
  message: string;
}

function problemOf(value: unknown, depth: number): Problem | undefined {
  if (typeof value === 'string') return problemOfText(value);
  if (typeof value === 'number') {
    // Every double up there is a whole number, or what the parser made of one that no double can hold: infinity.
    return Math.abs(value) > Number.MAX_SAFE_INTEGER
      ? { path: [], message: 'must not be a number beyond 2^53: send it as a string' }
      : undefined;
  }
  if (typeof value !== 'object' || value === null) return undefined;
  if (depth > MAX_DEPTH) return { path: [], message: `must not be nested deeper than ${MAX_DEPTH} levels` };
  for (const [name, member] of Object.entries(value)) {
    const problem = problemOfText(name) ?? problemOf(member, depth + 1);
    if (problem !== undefined)
      return { path: [Array.isArray(value) ? Number(name) : name, ...problem.path], message: problem.message };
  }
  return undefined;
}

/** Whether the database gives a text back as it was given. */
export function isStorable(text: string): boolean {
  return problemOfText(text) === undefined;
}

function problemOfText(text: string): Problem | undefined {
  if (text.includes('\u0000')) return { path: [], message: 'must not hold the character U+0000' };
  if (/\p{Surrogate}/u.test(text)) return { path: [], message: 'must be well-formed Unicode' };
  return undefined;
}
