import { ProblemError } from '../../platform/http/problem.js';
import type { ProblemCode } from '../../platform/http/problem-codes.js';
import type { DevRefusal } from '../ports.js';

/** Injection token of `DevChain`. */
export const DEV_CHAIN = Symbol('DevChain');

/** Refusals of the built-in chain that the contract has codes for; the others are told in one. */
const SHARED_CODES: Readonly<Record<string, ProblemCode>> = {
  'address-invalid': 'address-invalid',
  'amount-invalid': 'amount-invalid',
};

/** @throws ProblemError where the chain refused */
export function unlessRefused<T extends object>(result: T | DevRefusal): T {
  if (!('rejected' in result)) return result;
  const code = SHARED_CODES[result.rejected];
  throw code === undefined
    ? new ProblemError('dev-chain-refused', result.detail, { extensions: { reason: result.rejected } })
    : new ProblemError(code, result.detail);
}
