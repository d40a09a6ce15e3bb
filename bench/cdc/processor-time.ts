import { readdirSync, readFileSync } from 'node:fs';

/** Of Linux on every machine that Node runs on. */
const TICKS_PER_SECOND = 100;

/** Processor time of a process so far, in seconds; with the processes that it started, where those are its work (PostgreSQL). */
export function processorSeconds(pid: number, withChildren = false): number {
  const own = readStat(pid);
  if (own === undefined) throw new Error(`there is no process ${pid}`);
  let ticks = own.ticks;
  if (withChildren) {
    ticks += own.ticksOfEnded;
    for (const name of readdirSync('/proc')) {
      if (!/^\d+$/.test(name)) continue;
      const child = readStat(Number(name));
      if (child?.parent === pid) ticks += child.ticks;
    }
  }
  return ticks / TICKS_PER_SECOND;
}

/** proc_pid_stat(5); undefined where it has ended. */
function readStat(pid: number): { parent: number; ticks: number; ticksOfEnded: number } | undefined {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/stat`, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ESRCH')) {
      return undefined;
    }
    throw error;
  }
  // Behind the name, which may hold anything.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const number = (index: number): number => Number(fields[index]);
  return { parent: number(1), ticks: number(11) + number(12), ticksOfEnded: number(13) + number(14) };
}
