import { FatalError } from './errors.js';

/** A wrong value in the environment: the start stops with this one line. */
export class ConfigError extends FatalError {
  constructor(
    readonly variable: string,
    problem: string,
  ) {
    super(`${variable}: ${problem}`);
  }
}
