import { GraphQLError, parse, specifiedRules, subscribe, validate } from 'graphql';
import type { ExecutionArgs, ExecutionResult, FormattedExecutionResult, GraphQLSchema } from 'graphql';
import { makeServer } from 'graphql-ws';
import type { Server, SubscribePayload } from 'graphql-ws';
import { ReadError } from '../errors.js';
import { formatError } from '../graphql/format-error.js';
import { ledgerExtension } from '../graphql/ledger-extension.js';
import { limitsRule } from '../graphql/limits-rule.js';
import { planQuery } from '../graphql/plan-query.js';
import type { StateSource, SubscriptionContext } from '../graphql/resolvers/subscription.js';
import { CONNECTION_INIT_MS, MAX_QUERY_LENGTH, MAX_QUERY_TOKENS, MAX_SUBSCRIPTIONS } from '../limits.js';
import type { QueryDeps } from '../ports.js';
import { Reader } from '../reader.js';
import type { ReaderDeps } from '../reader.js';
import { changedResults } from './changed-results.js';
import { stateTicks } from './states.js';

/** What is known of a connection beyond the protocol. */
export interface ConnectionExtra {
  /** Of the upgrade request. */
  authorization: string | undefined;
  traceId: string;
}

interface Context extends SubscriptionContext {
  /** Reader of the state that is being answered. */
  reader: Reader;
  stop: () => void;
}

/**
 * The graphql-transport-ws protocol. Each subscription pulls: the next state is read when the one before has left for the
 * client, so a slow client costs one state, and gets the newest one next.
 */
export function createSubscriptionProtocol(
  schema: GraphQLSchema,
  deps: QueryDeps,
  readerDeps: ReaderDeps,
): Server<ConnectionExtra> {
  return makeServer<Record<string, unknown>, ConnectionExtra>({
    schema,
    connectionInitWaitTimeout: CONNECTION_INIT_MS,
    onConnect: ({ connectionParams, extra }) =>
      deps.authenticate(authorizationOf(connectionParams) ?? extra.authorization) !== undefined,
    onSubscribe: ({ subscriptions }, _id, payload) => {
      if (Object.keys(subscriptions).length > MAX_SUBSCRIPTIONS) {
        const message = `at most ${MAX_SUBSCRIPTIONS} subscriptions on one connection`;
        return [new ReadError('QUERY_TOO_COMPLEX', message)];
      }
      return prepare(schema, readerDeps, payload);
    },
    subscribe: async (args) => {
      const { stop } = args.contextValue as Context;
      const results = await subscribe(args);
      if (!(Symbol.asyncIterator in results)) {
        stop();
        return results;
      }
      return changedResults(results as AsyncIterableIterator<ExecutionResult>, stop);
    },
    onNext: async ({ extra }, _id, _payload, args, result): Promise<FormattedExecutionResult> => {
      const { reader } = args.contextValue as Context;
      const ledger = await ledgerExtension(reader);
      const { data = null, errors } = result;
      return {
        data,
        ...(errors === undefined
          ? {}
          : { errors: errors.map((error) => formatError(error, deps.logger, extra.traceId)) }),
        ...(ledger === undefined ? {} : { extensions: { ledger } }),
      };
    },
    onError: ({ extra }, _id, _payload, errors) =>
      errors.map((error) => formatError(error, deps.logger, extra.traceId)),
  });
}

/** As the header of HTTP, in the first message: browsers cannot send headers with a WebSocket. */
function authorizationOf(params: Readonly<Record<string, unknown>> | undefined): string | undefined {
  const value = params?.['authorization'] ?? params?.['Authorization'];
  return typeof value === 'string' ? value : undefined;
}

function prepare(
  schema: GraphQLSchema,
  readerDeps: ReaderDeps,
  { query, variables, operationName }: SubscribePayload,
): ExecutionArgs | readonly GraphQLError[] {
  if (query.length > MAX_QUERY_LENGTH) {
    const message = `the query has ${query.length} characters, more than ${MAX_QUERY_LENGTH}`;
    return [new ReadError('QUERY_TOO_COMPLEX', message)];
  }
  try {
    const document = parse(query, { maxTokens: MAX_QUERY_TOKENS });
    const errors = validate(schema, document, [...specifiedRules, limitsRule]);
    if (errors.length > 0) return errors;
    const { models } = planQuery(schema, document, operationName, variables ?? {});
    return {
      schema,
      document,
      operationName: operationName ?? null,
      variableValues: variables ?? {},
      contextValue: createContext(readerDeps, models),
    };
  } catch (error) {
    if (error instanceof GraphQLError) return [error];
    throw error;
  }
}

function createContext(readerDeps: ReaderDeps, models: readonly string[]): Context {
  const controller = new AbortController();
  const context: Context = {
    reader: new Reader(readerDeps, models),
    stop: () => {
      controller.abort();
    },
    states: async function* (): AsyncGenerator<StateSource, void> {
      const ticks = stateTicks(readerDeps.readModels, controller.signal);
      while ((await ticks.next()).done !== true) {
        context.reader = new Reader(readerDeps, models);
        yield { reader: context.reader };
      }
    },
  };
  return context;
}
