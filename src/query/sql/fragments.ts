/** The row counts at this position. `alias` has an interval; `position` is a parameter. */
export function validAt(alias: string, position: string): string {
  return `${alias}.from_position <= ${position} AND ${alias}.to_position > ${position}`;
}

/**
 * The sums of a ladder at a height and position, as a lateral subquery: the valid rung with the greatest height.
 *
 * The row comparison follows from the two conditions after it. It is there because it is what the index
 * (key, height, from_position) can begin at: without it, everything that happened later at this height is walked through.
 */
export function ladderAt(
  table: string,
  options: { key: string; equals: string; columns: readonly string[]; height: string; position: string },
): string {
  const { key, equals, columns, height, position } = options;
  return `SELECT ${columns.map((column) => `l.${column}`).join(', ')} FROM ${table} l
    WHERE l.${key} = ${equals} AND (l.height, l.from_position) <= (${height}, ${position})
      AND l.height <= ${height} AND ${validAt('l', position)}
    ORDER BY l.height DESC, l.from_position DESC LIMIT 1`;
}
