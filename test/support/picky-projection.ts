import { defineProjection } from '../../src/projections/projection.js';
import type { Projection } from '../../src/projections/projection.js';
import { appendTable } from '../../src/projections/tables/table-definition.js';

/** A projection that keeps the position of each event, and of a transfer what `transferAt` says: that may throw, or be taken already. */
export function pickyProjection(version: number, transferAt: (position: bigint) => bigint): Projection {
  return defineProjection({
    name: 'picky',
    version,
    tables: {
      seen: appendTable<{ position: bigint }>({
        name: 'seen',
        columns: { position: { type: 'bigint' } },
        key: ['position'],
        position: 'position',
      }),
    },
    load: () => Promise.resolve(),
    apply: ({ type, position }, { seen }) => {
      seen.append({ position: type === 'TransferSent' ? transferAt(position) : position });
    },
  });
}
