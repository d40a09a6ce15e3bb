import type { INestApplication } from '@nestjs/common';
import { DocumentBuilder, SwaggerModule, type OpenAPIObject } from '@nestjs/swagger';
import { z } from 'zod';
import { toOpenApiSchema } from './api-docs.js';
import { JSON_COMPONENT } from './json-object.js';
import { PROBLEM_CODES } from '../../platform/http/problem-codes.js';

const PROBLEM_SCHEMA = {
  type: 'object',
  description: 'RFC 9457',
  required: ['type', 'title', 'status', 'detail', 'instance', 'code', 'traceId'],
  properties: {
    type: { type: 'string', format: 'uri-reference', examples: ['/problems/insufficient-funds'] },
    title: { type: 'string' },
    status: { type: 'integer', minimum: 400, maximum: 599 },
    detail: { type: 'string', description: 'What is the matter with this request, for people' },
    instance: { type: 'string', format: 'uri-reference' },
    code: { type: 'string', description: 'What to decide on in a program', enum: Object.keys(PROBLEM_CODES) },
    traceId: { type: 'string', pattern: '^[0-9a-f]{32}$' },
    errors: {
      type: 'array',
      description: 'With `validation-failed`: each thing that is wrong',
      items: {
        type: 'object',
        required: ['pointer', 'detail'],
        properties: { pointer: { type: 'string', description: 'JSON pointer (RFC 6901)' }, detail: { type: 'string' } },
      },
    },
  },
};

/** The OpenAPI 3.1 document of all controllers of the application, in an order that does not change. */
export function createOpenApiDocument(app: INestApplication, version: string): OpenAPIObject {
  const config = new DocumentBuilder()
    .setOpenAPIVersion('3.1.0')
    .setTitle('Tallystick')
    .setDescription(
      'Commands of the ledger. Amounts are satoshis as decimal strings. Every error is a problem (RFC 9457): ' +
        'decide on its `code`. A 405 names the allowed methods in `Allow`.',
    )
    .setVersion(version)
    .setLicense('Apache-2.0', 'https://www.apache.org/licenses/LICENSE-2.0')
    .addBearerAuth({ type: 'http', scheme: 'bearer', description: 'One of API_KEYS; not needed where none are set' })
    .addSecurityRequirements('bearer')
    .build();
  const document = SwaggerModule.createDocument(app, config, {
    operationIdFactory: (_controller, method) => method,
    standardSchemaConverter: (schema, { schemaType }) => {
      return schema instanceof z.ZodType ? { schema: toOpenApiSchema(schema, schemaType) } : undefined;
    },
  });
  document.components = {
    ...document.components,
    schemas: { ...document.components?.schemas, Json: JSON_COMPONENT, Problem: PROBLEM_SCHEMA },
  };
  document.paths = Object.fromEntries(Object.entries(document.paths).sort(([a], [b]) => (a < b ? -1 : 1)));
  return document;
}
