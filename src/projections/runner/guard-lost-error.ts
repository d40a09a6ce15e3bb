import { RetryableError } from '../../platform/errors.js';

/** Someone else moved a checkpoint or switched tables: what is cached is void, where to go on is in the database. */
export class GuardLostError extends RetryableError {}
