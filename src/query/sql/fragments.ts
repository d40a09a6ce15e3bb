/** The row counts at this position. `alias` has an interval; `position` is a parameter. */
export function validAt(alias: string, position: string): string {
  return `${alias}.from_position <= ${position} AND ${alias}.to_position > ${position}`;
}

/**
 * The sums of a ladder at a height and position, as a lateral subquery: the valid rung with the greatest height. Of an endless
 * ladder (nothing is taken back) the last version at or before the position.
 *
 * The row comparison follows from the two conditions after it. It is there because it is what the index
 * (key, height, from_position) can begin at: without it, everything that happened later at this height is walked through.
 */
export function ladderAt(
  table: string,
  options: {
    key: string;
    equals: string;
    columns: readonly string[];
    height: string;
    position: string;
    endless?: boolean;
  },
): string {
  const { key, equals, columns, height, position, endless = false } = options;
  return `SELECT ${columns.map((column) => `l.${column}`).join(', ')} FROM ${table} l
    WHERE l.${key} = ${equals} AND (l.height, l.from_position) <= (${height}, ${position})
      AND l.height <= ${height} AND ${endless ? `l.from_position <= ${position}` : validAt('l', position)}
    ORDER BY l.height DESC, l.from_position DESC LIMIT 1`;
}
