import { POSITION_INFINITY } from '../../platform/postgres/pool.js';

/** Columns of read tables, as they are written again and again. `text`: ids, hex and names, which COPY need not escape. */
export const text = { type: 'text', plain: true } as const;
export const nullableText = { type: 'text', plain: true, nullable: true } as const;
export const prose = { type: 'text', nullable: true } as const;
export const int = { type: 'int' } as const;
export const nullableInt = { type: 'int', nullable: true } as const;
export const flag = { type: 'boolean' } as const;
export const sats = { type: 'bigint' } as const;
export const nullableSats = { type: 'bigint', nullable: true } as const;
export const time = { type: 'timestamptz' } as const;
export const nullableTime = { type: 'timestamptz', nullable: true } as const;

/** Condition of an index over what is open now. */
export const NOW = `to_position = ${POSITION_INFINITY}`;
