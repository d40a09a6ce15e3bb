/** Where a read looks: see `ResolvedAsOf` of the queries, which is one of these. */
export interface ReadAt {
  /** What was known: facts of the books up to here. */
  position: bigint;
  /** Where facts of the chain are looked at: `position`, unless the question names an abandoned branch. */
  chainPosition: bigint;
  /** What was true on the chain: null for no cut. */
  height: number | null;
}

const NO_CUT = 0x7fffffff;

/** The height as an SQL parameter: the greatest integer where there is no cut. */
export function heightLimit({ height }: ReadAt): number {
  return height ?? NO_CUT;
}
