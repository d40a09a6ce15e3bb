type Row = Record<string, unknown>;

/** The rows of a dumped table that were valid at a position; those without an end that had begun. */
export function validAt(rows: readonly Row[], position: number): Row[] {
  const at = BigInt(position);
  return rows.filter(
    (row) => (row['from_position'] as bigint) <= at && ((row['to_position'] as bigint | undefined) ?? at + 1n) > at,
  );
}

/** Value of a ladder as the queries read it: the greatest height ≤ `height` among the rows valid at the position. */
export function ladderAt(
  rows: readonly Row[],
  keyColumn: string,
  key: string,
  position: number,
  height: number,
): Row | undefined {
  return validAt(rows, position)
    .filter((row) => row[keyColumn] === key && (row['height'] as number) <= height)
    .sort((a, b) => (b['height'] as number) - (a['height'] as number) || Number(from(b) - from(a)))[0];
}

function from(row: Row): bigint {
  return row['from_position'] as bigint;
}
