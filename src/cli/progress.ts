import cliProgress from 'cli-progress';

/** Shows how far a long command is: a bar on a terminal, a JSON line per second elsewhere when asked, otherwise nothing. */
export interface Progress {
  update(done: number, total: number, what: string): void;
  stop(): void;
}

const JSON_INTERVAL_MS = 1000;

export function createProgress(options: { json: boolean; label: string; stream?: NodeJS.WriteStream }): Progress {
  const stream = options.stream ?? process.stderr;
  if (options.json) return jsonProgress(options.label, stream);
  if (!stream.isTTY) return { update: () => undefined, stop: () => undefined };
  const bar = new cliProgress.SingleBar(
    { format: `${options.label} {bar} {percentage}% {value}/{total} {what} {eta_formatted}`, stream, hideCursor: true },
    cliProgress.Presets.shades_classic,
  );
  let started = false;
  return {
    update: (done, total, what) => {
      if (!started) bar.start(total, done, { what });
      started = true;
      bar.setTotal(total);
      bar.update(done, { what });
    },
    stop: () => {
      if (started) bar.stop();
    },
  };
}

function jsonProgress(label: string, stream: NodeJS.WritableStream): Progress {
  let last = 0;
  return {
    update: (done, total, what) => {
      const now = Date.now();
      if (now - last < JSON_INTERVAL_MS) return;
      last = now;
      stream.write(`${JSON.stringify({ progress: label, done, total, what })}\n`);
    },
    stop: () => undefined,
  };
}
