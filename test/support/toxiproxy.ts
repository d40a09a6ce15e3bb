import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from './btcd.js';
import { partPath } from './parts.js';
import { startWatched } from './watched-process.js';

export interface Toxic {
  type: 'latency' | 'limit_data' | 'reset_peer' | 'timeout' | 'bandwidth' | 'slicer';
  stream: 'upstream' | 'downstream';
  attributes: Record<string, number>;
}

export interface Toxiproxy {
  /** The port that leads to the upstream, with the faults of the moment. */
  readonly port: number;
  /** Replaces the faults of the moment by these. */
  setToxics(...toxics: Toxic[]): Promise<void>;
  stop(): Promise<void>;
}

const START_TIMEOUT_MS = 20_000;

/** Starts a toxiproxy in front of a port of this machine: latency, resets, answers that are cut or lost. */
export async function startToxiproxy(upstreamPort: number): Promise<Toxiproxy> {
  const binary = partPath('toxiproxy', 'bin/toxiproxy-server');
  const [apiPort, port] = [await freePort(), await freePort()];
  const watched = startWatched(binary, ['-host', '127.0.0.1', '-port', String(apiPort)]);
  const api = async (method: string, path: string, body?: object): Promise<unknown> => {
    const answer = await fetch(`http://127.0.0.1:${apiPort}${path}`, {
      method,
      // It refuses what looks like a browser.
      headers: { 'user-agent': 'tallystick-test' },
      ...(body ? { body: JSON.stringify(body) } : {}),
    });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`toxiproxy answered ${answer.status} to ${method} ${path}: ${text}`);
    return text === '' ? undefined : JSON.parse(text);
  };
  try {
    for (const deadline = Date.now() + START_TIMEOUT_MS; ; await sleep(20)) {
      const up = await api('GET', '/proxies').catch((error: unknown) => {
        if (Date.now() > deadline || watched.child.exitCode !== null) throw error;
        return undefined;
      });
      if (up) break;
    }
    const listen = `127.0.0.1:${port}`;
    await api('POST', '/proxies', { name: 'it', listen, upstream: `127.0.0.1:${upstreamPort}`, enabled: true });
  } catch (error) {
    await watched.stop();
    throw new Error(`toxiproxy did not start:\n${watched.output()}`, { cause: error });
  }
  const names: string[] = [];
  return {
    port,
    async setToxics(...toxics) {
      for (const name of names.splice(0)) await api('DELETE', `/proxies/it/toxics/${name}`);
      for (const [index, toxic] of toxics.entries()) {
        const name = `toxic${index}`;
        await api('POST', '/proxies/it/toxics', { name, toxicity: 1, ...toxic });
        names.push(name);
      }
    },
    stop: () => watched.stop(),
  };
}
