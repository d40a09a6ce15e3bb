import { HttpException } from '@nestjs/common';
import { BusyError, PlatformError } from '../errors.js';
import { type ProblemCode } from './problem-codes.js';
import { ProblemError } from './problem.js';

/** Fastify's own refusals, by its error codes. What is not here and below 500 is a malformed request. */
const OF_FASTIFY: Readonly<Record<string, readonly [ProblemCode, string]>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: ['body-too-large', 'The body is larger than this address takes.'],
  FST_ERR_CTP_INVALID_MEDIA_TYPE: ['unsupported-media-type', 'The content type is not one that this address takes.'],
  FST_ERR_CTP_INVALID_JSON_BODY: ['json-malformed', 'The body is not valid JSON.'],
  FST_ERR_CTP_EMPTY_JSON_BODY: ['json-malformed', 'The body is empty; JSON was announced.'],
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: ['request-malformed', 'The body is not as long as Content-Length says.'],
  FST_ERR_BAD_URL: ['request-malformed', 'The address is not a valid URL.'],
  FST_ERR_MAX_PARAM_LENGTH: ['uri-too-long', 'A part of the address is too long.'],
};

const OF_STATUS: Readonly<Record<number, readonly [ProblemCode, string]>> = {
  401: ['unauthorized', 'Send an API key: Authorization: Bearer <key>.'],
  404: ['not-found', 'There is nothing at this address.'],
  405: ['method-not-allowed', 'The method is not allowed here.'],
  406: ['not-acceptable', 'No representation that is acceptable to the client.'],
  408: ['request-timeout', 'The request did not arrive in time.'],
  409: ['conflict', 'The request is in conflict with the present state.'],
  413: ['body-too-large', 'The body is larger than this address takes.'],
  414: ['uri-too-long', 'The address is too long.'],
  415: ['unsupported-media-type', 'The content type is not one that this address takes.'],
  431: ['headers-too-large', 'The headers are too large.'],
};

const INTERNAL = new ProblemError('internal-error', 'Something went wrong here; the log has it under this trace id.');

/**
 * What a client is told of whatever was thrown. Only `ProblemError` speaks for itself; of everything else the client learns
 * the kind, never the message.
 */
export function problemOf(error: unknown): ProblemError {
  if (error instanceof ProblemError) return error;
  if (error instanceof BusyError) {
    return new ProblemError('busy', 'There is too much to do at the moment; nothing was changed.', {
      headers: { 'retry-after': String(Math.max(1, Math.ceil(error.retryAfterSeconds))) },
    });
  }
  if (error instanceof PlatformError && error.retryable) {
    return new ProblemError(
      'unavailable',
      'A part of the system is not available; the same request may be sent again.',
    );
  }
  if (error instanceof HttpException) return ofStatus(error.getStatus());
  return ofFastify(error);
}

function ofFastify(error: unknown): ProblemError {
  if (typeof error !== 'object' || error === null) return INTERNAL;
  const { code, statusCode } = error as { code?: unknown; statusCode?: unknown };
  const known = typeof code === 'string' ? OF_FASTIFY[code] : undefined;
  if (known !== undefined) return new ProblemError(known[0], known[1]);
  // Errors of JSON parsing (also "__proto__" in a body) have a status, but no code of Fastify's.
  if (error instanceof SyntaxError && statusCode === 400) {
    return new ProblemError('json-malformed', 'The body is not valid JSON.');
  }
  return typeof statusCode === 'number' ? ofStatus(statusCode) : INTERNAL;
}

function ofStatus(status: number): ProblemError {
  const known = OF_STATUS[status];
  if (known !== undefined) return new ProblemError(known[0], known[1]);
  if (status === 503) return new ProblemError('unavailable', 'A part of the system is not available.');
  return status >= 400 && status < 500 ? new ProblemError('request-malformed', 'The request is malformed.') : INTERNAL;
}
