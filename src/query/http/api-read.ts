import { applyDecorators } from '@nestjs/common';
import { ApiHeader, ApiOperation, ApiParam, ApiQuery, ApiResponse } from '@nestjs/swagger';
import { z } from 'zod';
import { PROBLEM_CODES, type ProblemCode } from '../../platform/http/problem-codes.js';
import { asOfQuery } from './as-of-query.js';

export interface ReadDocs {
  summary: string;
  /** The parameter of the path. */
  id: string;
  answer: z.ZodType;
  notFound: ProblemCode;
}

const OF_EVERY_READ: readonly ProblemCode[] = [
  'request-malformed',
  'validation-failed',
  'unauthorized',
  'origin-not-allowed',
  'headers-too-large',
  'internal-error',
  'ledger-behind',
  'unavailable',
];

const ANSWER_HEADERS = {
  ETag: { description: 'Changes when the answer does, not with every position', schema: { type: 'string' as const } },
  'Ledger-Position': { description: 'What it was read at', schema: { type: 'string' as const } },
};

/** Documents a GET of a read model: every answer that it can give. */
export function ApiRead({ summary, id, answer, notFound }: ReadDocs): MethodDecorator {
  return applyDecorators(
    ApiOperation({
      summary,
      description:
        'At the newest position, or as of another moment: what was known (position or time) and what was true on the chain (height or blockHash), each alone or one of each.',
    }),
    ApiParam({ name: id, schema: { type: 'string', pattern: '^[A-Za-z0-9_.:-]{1,64}$' } }),
    ...Object.entries(asOfQuery.shape).map(([name, schema]) =>
      ApiQuery({ name, required: false, description: schema.description ?? '', schema: textSchema(schema) }),
    ),
    ApiHeader({
      name: 'Ledger-Min-Position',
      required: false,
      description: 'Wait until this position can be read, at most 2 s',
      schema: { type: 'string', pattern: '^(0|[1-9][0-9]{0,18})$' },
    }),
    ApiHeader({ name: 'If-None-Match', required: false, schema: { type: 'string' } }),
    ApiResponse({ status: 200, description: 'As of the moment', standardSchema: answer, headers: ANSWER_HEADERS }),
    ApiResponse({ status: 304, description: 'As the client has it', headers: ANSWER_HEADERS }),
    ...problems([...OF_EVERY_READ, notFound]),
  );
}

/** As JSON Schema; the moments are all plain texts with a pattern or a format. */
function textSchema(schema: z.ZodType): { type: 'string'; pattern?: string; format?: string } {
  const { pattern, format } = z.toJSONSchema(schema, { io: 'input' });
  return {
    type: 'string',
    ...(pattern === undefined ? {} : { pattern }),
    ...(format === undefined ? {} : { format }),
  };
}

function problems(codes: readonly ProblemCode[]): MethodDecorator[] {
  const byStatus = new Map<number, ProblemCode[]>();
  for (const code of codes) {
    const { status } = PROBLEM_CODES[code];
    byStatus.set(status, [...(byStatus.get(status) ?? []), code]);
  }
  return [...byStatus].map(([status, ofStatus]) =>
    ApiResponse({
      status,
      description: ofStatus.map((code) => `\`${code}\`: ${PROBLEM_CODES[code].title}`).join('. '),
      content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
    }),
  );
}
