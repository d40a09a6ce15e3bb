import type { Progress } from '../projections/progress.js';
import type { ProjectionStatus } from '../projections/status.js';
import type { ReadModels } from './ports.js';

/** Who has just waited for a move need not ask once more where the read models are. */
const FRESH_MS = 5;

export interface ReadModelsOptions {
  progress: Progress;
  status: () => Promise<ProjectionStatus[]>;
  /** True while the runner in this process moves the read models: then nobody needs to ask the database where they are. */
  isToldHere: () => boolean;
}

/** The engine's progress as queries need it. */
export function createReadModels({ progress, status, isToldHere }: ReadModelsOptions): ReadModels {
  return {
    reached: async (names) => {
      if (!isToldHere()) await progress.refresh(FRESH_MS);
      return progress.reached(names);
    },
    tipAt: (position) => progress.tipAt(position),
    waitFor: (position, names, timeoutMs) => progress.waitFor(position, names, timeoutMs),
    onAdvanced: (listener) =>
      progress.onAdvanced(() => {
        listener();
      }),
    status,
  };
}
