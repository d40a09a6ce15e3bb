import { FatalError } from '../../platform/errors.js';
import type { Projection } from '../projection.js';
import type { Halt } from '../runner/lane.js';
import { BelowWindowError } from '../tables/ladder-table.js';

/** A projection cannot take in an event, so it cannot be rebuilt; its live tables are as they were. */
export class CannotProjectError extends FatalError {
  constructor(
    readonly halt: Halt,
    options?: ErrorOptions,
  ) {
    const { name, haltedAt, reason } = halt;
    super(`projection ${name} cannot apply event ${haltedAt}: ${reason}`, {}, options);
  }
}

/** The same projection, whose errors name it and the event. */
export function namingPoison(projection: Projection): Projection {
  return {
    ...projection,
    apply: (event, handles) => {
      try {
        projection.apply(event, handles);
      } catch (error) {
        // Not of the event: the replay is to begin anew with more in memory.
        if (error instanceof BelowWindowError) throw error;
        const reason = error instanceof Error ? error.message : String(error);
        throw new CannotProjectError({ name: projection.name, haltedAt: event.position, reason }, { cause: error });
      }
    },
  };
}
