import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { sendProblem } from '../../platform/http/problem-filter.js';
import { problemOf } from '../../platform/http/problem-of.js';
import { ProblemError } from '../../platform/http/problem.js';
import { requestContext } from '../../platform/http/request-context.js';
import { minPosition } from '../min-position.js';
import type { Logger } from '../../platform/logger.js';
import { ledgerExtension } from './ledger-extension.js';
import type { AnswerQuery, QueryRequest } from './query-engine.js';

const GRAPHQL_RESPONSE = 'application/graphql-response+json';
const JSON_RESPONSE = 'application/json';

/** A query of `MAX_QUERY_LENGTH` with generous variables. */
const BODY_LIMIT_BYTES = 256 * 1024;

/** `/graphql` as GraphQL over HTTP has it (GraphQL Foundation, draft): GET and POST, one query at a time. */
export function registerGraphqlRoute(fastify: FastifyInstance, answer: AnswerQuery, logger: Logger): void {
  fastify.route({
    method: ['GET', 'POST'],
    url: '/graphql',
    config: { bodyLimitBytes: BODY_LIMIT_BYTES },
    handler: async (request, reply) => {
      try {
        await answerRequest(request, reply, answer);
      } catch (error) {
        const problem = problemOf(error);
        if (problem.code === 'internal-error') {
          logger.error({ err: error, traceId: requestContext(request).trace.traceId }, 'a query failed');
        }
        return sendProblem(request, reply, problem);
      }
      return reply;
    },
  });
}

async function answerRequest(request: FastifyRequest, reply: FastifyReply, answer: AnswerQuery): Promise<void> {
  const mediaType = acceptedType(request.headers.accept);
  const { result, reader } = await answer({
    ...(request.method === 'GET' ? ofQueryString(request.query) : ofBody(request.body)),
    minPosition: minPosition(request.headers['ledger-min-position']),
    traceId: requestContext(request).trace.traceId,
  });
  const ledger = reader === undefined ? undefined : await ledgerExtension(reader);
  if (ledger !== undefined) void reply.header('ledger-position', ledger.position);
  // With application/json every well-formed request is answered 200 (GraphQL over HTTP, 6.4.1).
  const refused = !('data' in result);
  await reply
    .code(refused && mediaType === GRAPHQL_RESPONSE ? 400 : 200)
    .header('content-type', `${mediaType}; charset=utf-8`)
    .header('cache-control', 'no-store')
    .send(JSON.stringify(ledger === undefined ? result : { ...result, extensions: { ledger } }));
}

/** @throws ProblemError not-acceptable where the client takes neither */
function acceptedType(accept: string | undefined): string {
  if (accept === undefined || accept.trim() === '') return JSON_RESPONSE;
  for (const part of accept.split(',')) {
    const type = part.split(';', 1)[0]?.trim().toLowerCase() ?? '';
    if (type === GRAPHQL_RESPONSE) return GRAPHQL_RESPONSE;
    if (type === JSON_RESPONSE || type === '*/*' || type === 'application/*') return JSON_RESPONSE;
  }
  throw new ProblemError('not-acceptable', `Accept ${GRAPHQL_RESPONSE} or ${JSON_RESPONSE}.`);
}

type Asked = Pick<QueryRequest, 'query' | 'variables' | 'operationName'>;

function ofBody(body: unknown): Asked {
  if (Array.isArray(body)) throw malformed('Send one query at a time.');
  if (typeof body !== 'object' || body === null) throw malformed('Send a JSON object with a query.');
  return asked(body as Record<string, unknown>);
}

function ofQueryString(query: unknown): Asked {
  const { variables, ...rest } = query as Record<string, unknown>;
  if (variables === undefined || variables === '') return asked(rest);
  try {
    return asked({ ...rest, variables: JSON.parse(typeof variables === 'string' ? variables : '') as unknown });
  } catch (error) {
    if (error instanceof ProblemError) throw error;
    throw malformed('variables must be a JSON object.');
  }
}

function asked({ query, variables = null, operationName = null }: Record<string, unknown>): Asked {
  if (typeof query !== 'string' || query.trim() === '') throw malformed('query must be a GraphQL document.');
  if (typeof variables !== 'object' || Array.isArray(variables)) throw malformed('variables must be a JSON object.');
  if (operationName !== null && typeof operationName !== 'string') throw malformed('operationName must be a string.');
  return {
    query,
    variables: (variables ?? undefined) as Asked['variables'],
    operationName: operationName === null || operationName === '' ? undefined : operationName,
  };
}

function malformed(detail: string): ProblemError {
  return new ProblemError('request-malformed', detail);
}
