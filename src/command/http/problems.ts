import type { RejectionCode } from '../../domain/rejection.js';
import { PROBLEM_CODES } from '../../platform/http/problem-codes.js';

/**
 * Every rejection has its status and title in `platform/http/problem-codes.ts`, the one table of all problems; this line
 * does not compile while one is missing there. Read models and other edges answer with `platform/http` as well.
 */
export const REJECTION_PROBLEMS: Readonly<Record<RejectionCode, { status: number; title: string }>> = PROBLEM_CODES;
