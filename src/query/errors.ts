import { GraphQLError } from 'graphql';

/**
 * What a reader is told. `code` goes into `extensions.code`; messages are ours and say nothing of the inside.
 *
 * - BAD_USER_INPUT: the request names something that is not there or cannot be; `argument` says which
 * - LEDGER_BEHIND: the read models have not reached the position that was asked for; `position` says how far they are
 * - UNAVAILABLE: a part of the system is away; the same request may be sent again
 * - QUERY_TOO_COMPLEX: deeper, wider or longer than any sensible question
 * - NOT_KNOWN: the ledger was never told (the time of a start block that was given by height and hash alone)
 */
export type ReadErrorCode = 'BAD_USER_INPUT' | 'LEDGER_BEHIND' | 'UNAVAILABLE' | 'NOT_KNOWN' | 'QUERY_TOO_COMPLEX';

export class ReadError extends GraphQLError {
  constructor(
    readonly code: ReadErrorCode,
    message: string,
    readonly facts: Readonly<Record<string, string>> = {},
  ) {
    super(message, { extensions: { code, ...facts } });
  }
}

/** @param argument the argument's path, e.g. `asOf.height` */
export function badUserInput(argument: string, message: string): ReadError {
  return new ReadError('BAD_USER_INPUT', `${argument}: ${message}`, { argument });
}

export function ledgerBehind(asked: bigint, reached: bigint): ReadError {
  return new ReadError('LEDGER_BEHIND', `the read models have reached position ${reached}, not yet ${asked}`, {
    position: String(reached),
  });
}
