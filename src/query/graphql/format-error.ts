import { GraphQLError } from 'graphql';
import type { GraphQLFormattedError } from 'graphql';
import { PlatformError } from '../../platform/errors.js';
import type { Logger } from '../../platform/logger.js';

/** Codes of what the GraphQL library itself refuses, as clients know them. */
const PARSE_FAILED = 'GRAPHQL_PARSE_FAILED';
const VALIDATION_FAILED = 'GRAPHQL_VALIDATION_FAILED';

/**
 * An error as clients see it: what we say ourselves and what the specification's own checks say, with a code. Of anything
 * else they learn nothing; the log has it, under the trace id.
 */
export function formatError(error: GraphQLError, logger: Logger, traceId: string): GraphQLFormattedError {
  const { locations, path } = error;
  const place = {
    ...(locations === undefined ? {} : { locations }),
    ...(path === undefined ? {} : { path }),
  };
  const cause: unknown = error.originalError ?? undefined;
  const ours = [error, cause].find((candidate) => hasCode(candidate));
  if (ours !== undefined) return { message: ours.message, ...place, extensions: ours.extensions };
  // Refused variables come wrapped in a second error of the library's own.
  if (cause === undefined || cause instanceof GraphQLError) {
    const code = error.message.startsWith('Syntax Error') ? PARSE_FAILED : VALIDATION_FAILED;
    return { message: error.message, ...place, extensions: { code } };
  }
  if (cause instanceof PlatformError && cause.retryable) {
    logger.warn({ err: cause, traceId, path }, 'a read could not be answered');
    const message = 'A part of the system is not available; the same request may be sent again.';
    return { message, ...place, extensions: { code: 'UNAVAILABLE', traceId } };
  }
  logger.error({ err: cause, traceId, path }, 'a read failed');
  const message = 'Something went wrong here; the log has it under this trace id.';
  return { message, ...place, extensions: { code: 'INTERNAL_SERVER_ERROR', traceId } };
}

function hasCode(error: unknown): error is GraphQLError {
  if (!(error instanceof GraphQLError)) return false;
  // Compiled queries make errors without extensions.
  const { extensions } = error as { extensions?: Record<string, unknown> };
  return typeof extensions?.['code'] === 'string';
}
