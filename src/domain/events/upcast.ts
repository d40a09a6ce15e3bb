import { EVENT_TYPES } from './event-types.js';
import { withoutPayouts } from './found-without-payouts.js';

/** Turns the data of one schema version into that of the next. Pure; must not change its argument. */
export type UpcastStep = (data: unknown) => unknown;

/** An event that this program does not know how to read: it was written by a newer one, or its step is missing. */
export class UnknownEventVersionError extends Error {
  override readonly name = 'UnknownEventVersionError';
  constructor(
    readonly type: string,
    readonly schemaVersion: number,
    readonly currentVersion: number | undefined,
  ) {
    const known = currentVersion === undefined ? 'does not know that type' : `knows versions 1 to ${currentVersion}`;
    super(`event ${type} has schema version ${schemaVersion}, this program ${known}`);
  }
}

export interface Upcaster {
  /** The schema version that data has after `upcast`; undefined for an unknown type. */
  currentVersion(type: string): number | undefined;
  /**
   * Brings stored data to the current schema version of its type.
   *
   * @throws UnknownEventVersionError for an unknown type and for a version above the current one
   */
  upcast(type: string, schemaVersion: number, data: unknown): unknown;
}

/**
 * An upcaster of these event types. The log is never rewritten: old events are brought up to date as they are read, one version
 * at a time.
 *
 * @param currentVersions the current schema version of every type
 * @param steps for every type with a version above 1, by version, the step from that version to the next
 * @throws UnknownEventVersionError where a step is missing: found at the start, not at the first old event
 */
export function createUpcaster(
  currentVersions: Readonly<Record<string, number>>,
  steps: Readonly<Record<string, Readonly<Record<number, UpcastStep>>>>,
): Upcaster {
  const current = new Map(Object.entries(currentVersions));
  const stepsOf = new Map<string, UpcastStep[]>();
  for (const [type, version] of current) {
    stepsOf.set(
      type,
      Array.from({ length: version - 1 }, (_, index) => {
        const step = steps[type]?.[index + 1];
        if (step === undefined) throw new UnknownEventVersionError(type, index + 1, version);
        return step;
      }),
    );
  }
  return {
    currentVersion: (type) => current.get(type),
    upcast(type, schemaVersion, data) {
      const version = current.get(type);
      if (version === schemaVersion) return data;
      const ofType = stepsOf.get(type);
      if (ofType === undefined || version === undefined || schemaVersion > version || schemaVersion < 1) {
        throw new UnknownEventVersionError(type, schemaVersion, version);
      }
      return ofType.slice(schemaVersion - 1).reduce((older, step) => step(older), data);
    },
  };
}

/** The events of this ledger, and how older ones are read. */
export const eventUpcaster: Upcaster = createUpcaster(
  Object.fromEntries(Object.entries(EVENT_TYPES).map(([type, { schemaVersion }]) => [type, schemaVersion])),
  { TransfersFound: { 1: withoutPayouts }, BlockConnected: { 1: withoutPayouts } },
);
