/** A list for people, in columns; or one JSON object per line, with amounts and positions as decimal strings. */
export function printList<T extends object>(
  json: boolean,
  rows: readonly T[],
  columnsOf: (row: T) => Record<string, string>,
  none: string,
  out: Pick<NodeJS.WriteStream, 'write'> = process.stdout,
): void {
  if (json) {
    for (const row of rows) out.write(`${JSON.stringify(row, asText)}\n`);
    return;
  }
  if (rows.length === 0) {
    out.write(`${none}\n`);
    return;
  }
  const lines = rows.map(columnsOf);
  const headings = Object.keys(lines[0] ?? {});
  const table = [headings, ...lines.map((line) => headings.map((heading) => line[heading] ?? ''))];
  const widths = headings.map((_, column) => Math.max(...table.map((cells) => cells[column]?.length ?? 0)));
  for (const cells of table) {
    const padded = cells.map((cell, column) => cell.padEnd(widths[column] ?? 0));
    out.write(`${padded.join('  ').trimEnd()}\n`);
  }
}

function asText(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? String(value) : value;
}
