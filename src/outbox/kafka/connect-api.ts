import { FatalError, RetryableError } from '../../platform/errors.js';

/** Kafka Connect answers in milliseconds, but for a request that waits for a task to stop. */
const TIMEOUT_MS = 30_000;

export interface ConnectorStatus {
  /** RUNNING, PAUSED, STOPPED, FAILED, UNASSIGNED. */
  state: string;
  tasks: readonly { id: number; state: string; trace: string | undefined }[];
}

/** What is needed of Kafka Connect's REST API, for one connector. */
export interface ConnectApi {
  /** Undefined: there is no such connector. */
  status(): Promise<ConnectorStatus | undefined>;
  stop(): Promise<void>;
  resume(): Promise<void>;
  deleteOffsets(): Promise<void>;
  /** Starts again what has failed. */
  restartFailed(): Promise<void>;
}

/**
 * @param url of the worker, `http://host:8083`
 * @throws (each call) RetryableError where Connect is away or busy, FatalError where it refuses
 */
export function createConnectApi(url: string, connector: string): ConnectApi {
  const at = (path: string): string => new URL(`/connectors/${encodeURIComponent(connector)}${path}`, url).toString();

  async function call(method: string, path: string): Promise<Response> {
    let answer: Response;
    try {
      answer = await fetch(at(path), { method, signal: AbortSignal.timeout(TIMEOUT_MS) });
    } catch (cause) {
      throw new RetryableError(`Kafka Connect does not answer at ${new URL(url).host}`, {}, { cause });
    }
    if (answer.ok || answer.status === 404) return answer;
    const said = (await answer.text()).slice(0, 500);
    // 409: it is just rebalancing, or the connector has not stopped yet.
    const Class = answer.status === 409 || answer.status >= 500 ? RetryableError : FatalError;
    throw new Class(`Kafka Connect answered ${answer.status} to ${method} ${path}: ${said}`);
  }

  async function command(method: string, path: string): Promise<void> {
    const answer = await call(method, path);
    if (answer.status === 404) throw new FatalError(`Kafka Connect has no connector '${connector}'`);
    await answer.text();
  }

  return {
    async status() {
      const answer = await call('GET', '/status');
      if (answer.status === 404) return undefined;
      const said = (await answer.json()) as {
        connector: { state: string };
        tasks: { id: number; state: string; trace?: string }[];
      };
      return {
        state: said.connector.state,
        tasks: said.tasks.map(({ id, state, trace }) => ({ id, state, trace: trace?.split('\n')[0] })),
      };
    },
    stop: () => command('PUT', '/stop'),
    resume: () => command('PUT', '/resume'),
    deleteOffsets: () => command('DELETE', '/offsets'),
    restartFailed: () => command('POST', '/restart?includeTasks=true&onlyFailed=true'),
  };
}
