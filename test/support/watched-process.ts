import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';

/**
 * Watches the pipe that only the test process holds open: when that process ends, however it ends, `read` returns, and
 * the part is stopped and its folder removed. Stopping is by SIGTERM, for a shell makes what it runs in the background ignore SIGINT. Without this a killed test would leave nodes running.
 */
const WATCHER = `
command=$1; folder=$2; shift 2
exec 3<&0 </dev/null
"$command" "$@" 3<&- & child=$!
trap 'kill -TERM $child 2>/dev/null' INT TERM
( cat <&3 >/dev/null; kill -KILL $child 2>/dev/null ) & watch=$!
exec 3<&-
wait $child; status=$?
while kill -0 $child 2>/dev/null; do wait $child; status=$?; done
kill $watch 2>/dev/null
if [ -n "$folder" ]; then rm -rf "$folder"; fi
exit $status
`;

export interface WatchedProcess {
  readonly child: ChildProcess;
  /** Everything written so far to stdout and stderr, the last 64 KiB of it. */
  output(): string;
  /** Asks it to stop, and kills it when it does not. */
  stop(): Promise<void>;
}

const KEPT_OUTPUT = 65_536;
const STOP_TIMEOUT_MS = 10_000;

/** Starts a program that ends with the test process at the latest; its folder, if one is given, goes with it. */
export function startWatched(command: string, args: readonly string[], folder = ''): WatchedProcess {
  const child = spawn('/bin/sh', ['-c', WATCHER, 'watcher', command, folder, ...args], {
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8');
    stream.on('data', (text: string) => {
      output = (output + text).slice(-KEPT_OUTPUT);
    });
  }
  return {
    child,
    output: () => output,
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const exited = once(child, 'exit');
      child.kill('SIGTERM');
      // Closing the pipe is what kills the part the hard way.
      const hard = setTimeout(() => child.stdin.end(), STOP_TIMEOUT_MS);
      await exited;
      clearTimeout(hard);
    },
  };
}
