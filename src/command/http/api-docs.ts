import { applyDecorators } from '@nestjs/common';
import { ApiBody, ApiHeader, ApiOperation, ApiParam, ApiResponse } from '@nestjs/swagger';
import { z } from 'zod';
import { KEY_PATTERN } from './idempotency-key.js';
import { PROBLEM_CODES, type ProblemCode } from '../../platform/http/problem-codes.js';

/** What can happen to every request that has a body. */
const OF_EVERY_REQUEST: readonly ProblemCode[] = [
  'request-malformed',
  'json-malformed',
  'validation-failed',
  'unauthorized',
  'origin-not-allowed',
  'body-too-large',
  'unsupported-media-type',
  'headers-too-large',
  'internal-error',
  'unavailable',
  'busy',
];
const OF_EVERY_COMMAND: readonly ProblemCode[] = [
  'idempotency-key-missing',
  'idempotency-key-invalid',
  'idempotency-key-in-use',
  'idempotency-key-reused',
];

/** What can happen to every request that has none. */
const OF_EVERY_READ: readonly ProblemCode[] = [
  'request-malformed',
  'validation-failed',
  'unauthorized',
  'origin-not-allowed',
  'headers-too-large',
  'internal-error',
  'unavailable',
];

export interface EndpointDocs {
  summary: string;
  description?: string;
  body?: z.ZodType;
  /** Parameters of the path. */
  params?: Readonly<Record<string, z.ZodType>>;
  success: {
    status: number;
    description: string;
    schema: z.ZodType;
    /** Beside those of every command. */
    headers?: Readonly<Record<string, { description: string; schema: { type: 'string' } }>>;
  };
  problems: readonly ProblemCode[];
}

const POSITION_RESPONSE_HEADER = {
  'Ledger-Position': { description: "Position of the command's last event", schema: { type: 'string' as const } },
};
const REPLAYED_RESPONSE_HEADER = {
  'Idempotency-Replayed': {
    description: 'Present and `true` where this is the outcome of an earlier request with the same key',
    schema: { type: 'string' as const, enum: ['true'] },
  },
};

/** Documents a command endpoint: every answer that it can give. */
export function ApiCommand(docs: EndpointDocs): MethodDecorator {
  return applyDecorators(
    ApiOperation({
      summary: docs.summary,
      ...(docs.description === undefined ? {} : { description: docs.description }),
    }),
    ApiHeader({
      name: 'Idempotency-Key',
      required: true,
      description: 'Of your own making, 1 to 255 printable ASCII characters, bare or quoted (RFC 8941). Kept for good.',
      schema: { type: 'string', pattern: KEY_PATTERN },
    }),
    ApiResponse({
      status: docs.success.status,
      description: docs.success.description,
      standardSchema: docs.success.schema,
      headers: { ...POSITION_RESPONSE_HEADER, ...REPLAYED_RESPONSE_HEADER, ...docs.success.headers },
    }),
    ...requestDocs(docs),
    ...problemResponses([...OF_EVERY_REQUEST, ...OF_EVERY_COMMAND, ...docs.problems], REPLAYED_RESPONSE_HEADER),
  );
}

/** Documents a read that answers with something other than JSON, by media type. */
export function ApiRead(
  docs: Omit<EndpointDocs, 'success' | 'body'> & { description: string; content: Readonly<Record<string, string>> },
): MethodDecorator {
  const { summary, description, content } = docs;
  return applyDecorators(
    ApiOperation({ summary, description }),
    ApiResponse({
      status: 200,
      description: summary,
      content: Object.fromEntries(
        Object.entries(content).map(([type, what]) => [type, { schema: { type: 'string', description: what } }]),
      ),
    }),
    ...paramDocs(docs.params),
    ...problemResponses([...OF_EVERY_READ, ...docs.problems], {}),
  );
}

/** Documents an endpoint that is no command: no idempotency key. */
export function ApiEndpoint(docs: EndpointDocs & { hasPosition: boolean }): MethodDecorator {
  return applyDecorators(
    ApiOperation({
      summary: docs.summary,
      ...(docs.description === undefined ? {} : { description: docs.description }),
    }),
    ApiResponse({
      status: docs.success.status,
      description: docs.success.description,
      standardSchema: docs.success.schema,
      ...(docs.hasPosition ? { headers: POSITION_RESPONSE_HEADER } : {}),
    }),
    ...requestDocs(docs),
    ...problemResponses([...OF_EVERY_REQUEST, ...docs.problems], {}),
  );
}

/** The decorators' types know OpenAPI 3.0 only; the document is 3.1, whose schemas are JSON Schema. */
type SchemaObject = NonNullable<Extract<Parameters<typeof ApiParam>[0], { schema?: unknown }>['schema']>;
type SchemaOfDecorators = Extract<Parameters<typeof ApiBody>[0], { schema: unknown }>['schema'];

export function toOpenApiSchema(schema: z.ZodType, io: 'input' | 'output'): SchemaOfDecorators {
  const json = z.toJSONSchema(schema, { io, target: 'draft-2020-12' });
  // The document says itself which dialect its schemas are in.
  delete json.$schema;
  return json as SchemaOfDecorators;
}

function paramDocs(params: EndpointDocs['params'] = {}): MethodDecorator[] {
  return Object.entries(params).map(([name, schema]) =>
    ApiParam({ name, schema: toOpenApiSchema(schema, 'input') as SchemaObject }),
  );
}

function requestDocs({ body, params }: EndpointDocs): MethodDecorator[] {
  return [
    ...paramDocs(params),
    ...(body === undefined
      ? []
      : [ApiBody({ required: !body.safeParse({}).success, schema: toOpenApiSchema(body, 'input') })]),
  ];
}

function problemResponses(
  codes: readonly ProblemCode[],
  headers: typeof REPLAYED_RESPONSE_HEADER | object,
): MethodDecorator[] {
  const byStatus = new Map<number, ProblemCode[]>();
  for (const code of new Set(codes)) {
    const { status } = PROBLEM_CODES[code];
    byStatus.set(status, [...(byStatus.get(status) ?? []), code]);
  }
  return [...byStatus].map(([status, ofStatus]) =>
    ApiResponse({
      status,
      description: ofStatus.map((code) => `\`${code}\`: ${PROBLEM_CODES[code].title}`).join('. '),
      content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
      headers: {
        ...(status === 409 || status === 422 || status === 404 ? headers : {}),
        ...(status === 503
          ? {
              'Retry-After': {
                description: 'Seconds to wait before trying again',
                schema: { type: 'integer' as const },
              },
            }
          : {}),
        ...(status === 401 ? { 'WWW-Authenticate': { schema: { type: 'string' as const } } } : {}),
      },
    }),
  );
}
