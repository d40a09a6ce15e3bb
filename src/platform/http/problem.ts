import { PROBLEM_CODES, type ProblemCode } from './problem-codes.js';

export const PROBLEM_CONTENT_TYPE = 'application/problem+json; charset=utf-8';

/** Seconds after which a 503 may be tried again where nothing better is known. */
export const RETRY_AFTER_SECONDS = 1;

/** One thing that is wrong with a request: a JSON pointer (RFC 6901) into its body, and what. */
export interface FieldError {
  pointer: string;
  detail: string;
}

/** RFC 9457, with our extensions. */
export interface Problem {
  type: string;
  title: string;
  status: number;
  detail: string;
  instance: string;
  code: ProblemCode;
  traceId: string;
  errors?: readonly FieldError[];
  [extension: string]: unknown;
}

export interface ProblemOptions {
  errors?: readonly FieldError[];
  headers?: Readonly<Record<string, string>>;
  /** Further members of the problem, e.g. the position reached. */
  extensions?: Readonly<Record<string, unknown>>;
}

/** Thrown at the edge only: what the client is told. `detail` never holds a secret or anything of the inside. */
export class ProblemError extends Error {
  override readonly name = 'ProblemError';
  constructor(
    readonly code: ProblemCode,
    readonly detail: string,
    readonly options: ProblemOptions = {},
  ) {
    super(`${code}: ${detail}`);
  }
}

/** The problem as it goes over the wire. */
export function renderProblem(error: ProblemError, instance: string, traceId: string): Problem {
  const { status, title } = PROBLEM_CODES[error.code];
  return {
    type: `/problems/${error.code}`,
    title,
    status,
    detail: error.detail,
    instance,
    code: error.code,
    traceId,
    ...(error.options.errors === undefined ? {} : { errors: error.options.errors }),
    ...error.options.extensions,
  };
}

/** Headers of a problem: those it names, `Retry-After` on every 503, the challenge on every 401 (RFC 9110, 11.6.1). */
export function problemHeaders(error: ProblemError): Record<string, string> {
  const { status } = PROBLEM_CODES[error.code];
  return {
    'content-type': PROBLEM_CONTENT_TYPE,
    'cache-control': 'no-store',
    ...(status === 503 ? { 'retry-after': String(RETRY_AFTER_SECONDS) } : {}),
    ...(status === 401 ? { 'www-authenticate': 'Bearer' } : {}),
    ...error.options.headers,
  };
}
