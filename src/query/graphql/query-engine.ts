import type { FastifyInstance } from 'fastify';
import { GraphQLError, OperationTypeNode } from 'graphql';
import type { FormattedExecutionResult, GraphQLSchema } from 'graphql';
import { mercurius } from 'mercurius';
import type { MercuriusContext } from 'mercurius';
import { ReadError } from '../errors.js';
import { MAX_QUERY_LENGTH, MAX_QUERY_TOKENS } from '../limits.js';
import { waitForPosition } from '../min-position.js';
import type { QueryDeps } from '../ports.js';
import { Reader } from '../reader.js';
import type { ReaderDeps } from '../reader.js';
import { formatError } from './format-error.js';
import { limitsRule } from './limits-rule.js';
import { planQuery } from './plan-query.js';

export interface QueryRequest {
  query: string;
  variables: Record<string, unknown> | undefined;
  operationName: string | undefined;
  /** `Ledger-Min-Position` */
  minPosition: bigint | undefined;
  traceId: string;
}

export interface QueryAnswer {
  result: FormattedExecutionResult;
  /** Undefined where nothing was executed: the request itself was refused. */
  reader: Reader | undefined;
}

export type AnswerQuery = (request: QueryRequest) => Promise<QueryAnswer>;

interface Context {
  request: QueryRequest;
  reader?: Reader;
}

/** Compiled from its second use on: what is asked once is cheaper to interpret. */
const JIT_FROM_USE = 1;

const OPERATION_NAME = /^[_A-Za-z][_0-9A-Za-z]{0,199}$/;

/** What JSON could be and a query cannot: the server below would take it for a syntax tree and execute it unchecked. */
const LOOKS_LIKE_JSON = /^\s*(\{\s*["}]|["[\d-]|(true|false|null)\s*$)/;

/**
 * Registers the GraphQL server, without routes of its own, and answers queries with it.
 *
 * The returned function throws ProblemError `ledger-behind` where the read models do not reach `Ledger-Min-Position`.
 */
export function registerQueryEngine(
  fastify: FastifyInstance,
  schema: GraphQLSchema,
  deps: QueryDeps,
  readerDeps: ReaderDeps,
): AnswerQuery {
  void fastify.register(mercurius, {
    schema,
    routes: false,
    jit: JIT_FROM_USE,
    validationRules: [limitsRule],
    graphql: { parseOptions: { maxTokens: MAX_QUERY_TOKENS } },
    // Errors are formatted below, once; this keeps them as they are, and no data where variables were refused.
    errorFormatter: ({ data, errors }) => ({
      statusCode: 200,
      response: { ...(data === undefined ? {} : { data }), errors },
    }),
  });
  fastify.addHook('onReady', (done) => {
    fastify.graphql.addHook<Context & MercuriusContext>(
      'preExecution',
      async (_schema, document, context, variables: Record<string, unknown> | undefined) => {
        const { request } = context;
        const plan = planQuery(schema, document, request.operationName, variables ?? {});
        if (plan.operation.operation !== OperationTypeNode.QUERY) {
          const message = 'Subscriptions go over a WebSocket at this address (graphql-transport-ws).';
          throw new ReadError('BAD_USER_INPUT', message);
        }
        await waitForPosition(readerDeps.readModels, request.minPosition, plan.models);
        context.reader = new Reader(readerDeps, plan.models);
      },
    );
    done();
  });

  return async (request) => {
    const context: Context = { request };
    const format = (errors: readonly GraphQLError[]): FormattedExecutionResult['errors'] =>
      errors.map((error) => formatError(error, deps.logger, request.traceId));
    const refused = refuse(request);
    if (refused !== undefined) return { result: { errors: format([refused]) ?? [] }, reader: undefined };
    try {
      const { data, errors } = await fastify.graphql(
        sourceOf(request),
        context,
        request.variables ?? {},
        request.operationName,
      );
      const executed = context.reader !== undefined && data !== undefined;
      return {
        result: {
          ...(errors === undefined ? {} : { errors: format(errors) ?? [] }),
          ...(executed ? { data } : {}),
        },
        reader: executed ? context.reader : undefined,
      };
    } catch (error) {
      return { result: { errors: format(requestErrors(error)) ?? [] }, reader: undefined };
    }
  };
}

function refuse({ query, operationName }: QueryRequest): GraphQLError | undefined {
  if (query.length > MAX_QUERY_LENGTH) {
    return new ReadError(
      'QUERY_TOO_COMPLEX',
      `the query has ${query.length} characters, more than ${MAX_QUERY_LENGTH}`,
    );
  }
  if (LOOKS_LIKE_JSON.test(query)) return new GraphQLError('Syntax Error: this is not a GraphQL document');
  if (operationName !== undefined && !OPERATION_NAME.test(operationName)) {
    return new ReadError('BAD_USER_INPUT', 'operationName: is not a name');
  }
  return undefined;
}

/**
 * The server below compiles a document once, for the operation that is asked for first, and would run that one for every
 * other operation of the same text. A comment makes it another text.
 */
function sourceOf({ query, operationName }: QueryRequest): string {
  return operationName === undefined ? query : `${query}\n#${operationName}`;
}

/** What refuses a request as a whole: parsing, validation, variables, a limit. Anything else goes on as it is. */
function requestErrors(error: unknown): readonly GraphQLError[] {
  if (error instanceof GraphQLError) return [error];
  const { errors } = error as { errors?: unknown };
  if (Array.isArray(errors) && errors.every((each) => each instanceof GraphQLError)) return errors;
  throw error;
}
