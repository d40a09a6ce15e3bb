/** One measured figure beside what it is compared with, as the tables of the documentation and `--json` show it. */
export interface BenchRow {
  /** Which bench: `scan`. */
  bench: string;
  /** What was measured. */
  measure: string;
  /** The figure, with its unit. */
  value: string;
  /** What it is compared with, measured in the same run, with its unit. */
  reference: string;
  /** Value and reference as one number, as the goal is stated. */
  ratio: number;
  /** What the ratio should be. */
  goal: string;
  met: boolean;
  note?: string;
}
