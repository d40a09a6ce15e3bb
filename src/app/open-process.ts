import type { RegtestChain } from '../bitcoin/regtest/regtest-chain.js';
import type { Config } from '../platform/config.js';
import { FatalError } from '../platform/errors.js';
import type { Logger } from '../platform/logger.js';
import type { HealthCheck } from '../query/ports.js';
import { createHttpFront } from './http-front.js';
import { observeKafka, observeSlot } from './observe-cdc.js';
import { openBuiltinChain } from './node-source.js';
import { openKafka, type OpenKafka } from './open-kafka.js';
import { openLedger, type OpenedLedger, type SharedParts } from './open-ledger.js';
import { openProcessParts, type ProcessParts } from './process-parts.js';

export interface RunningProcess {
  /** `http://host:port` */
  url: string;
  /** Stops taking requests, finishes what was begun, closes everything. */
  close(): Promise<void>;
}

export interface OpenProcessOptions {
  logger: Logger;
  /** A broken invariant or another bug: the process must end. */
  onFatal: (error: unknown) => void;
}

/** Puts the roles of the configuration together, for each of its ledgers, and listens. */
export async function openProcess(config: Config, options: OpenProcessOptions): Promise<RunningProcess> {
  const parts = await openProcessParts(config, options);
  const close = (): Promise<void> => parts.closers.closeAll();
  try {
    const shared: SharedParts = {
      regtest: await openRegtest(parts),
      kafka: await openKafka(parts),
      health: await pipelineHealth(parts),
    };
    const ledgers: OpenedLedger[] = [];
    for (const ledger of config.ledgers) {
      ledgers.push(await openLedger({ ...parts, ledger, measured: parts.metrics.ofLedger(ledger) }, shared));
    }
    observeLegs(parts, shared.kafka);
    shared.kafka?.start();
    const front = await createHttpFront(parts, ledgers);
    parts.closers.add('HTTP', () => front.close());
    const url = await listening(config, front.listen(config.port, config.host));
    return { url, close };
  } catch (error) {
    await close().catch(() => undefined);
    throw error;
  }
}

/** What streams the outbox to Kafka, where this process is told where it is. */
async function pipelineHealth({ config, enginePool: pool }: ProcessParts): Promise<readonly HealthCheck[]> {
  const { cdc, kafka } = config;
  if (cdc.connectUrl === undefined) return [];
  const { createCdcHealthCheck } = await import('../outbox/kafka/cdc-health.js');
  return [createCdcHealthCheck({ pool, kafka, ...cdc })];
}

/** What lies between the outbox and the projections, where it is more than reading the table. */
function observeLegs({ config, metrics, enginePool: pool }: ProcessParts, kafka: OpenKafka | undefined): void {
  if (config.kafka !== undefined || config.cdc.connectUrl !== undefined) {
    observeSlot(metrics.ofProcess(), { pool, slot: config.cdc.slot });
  }
  if (kafka !== undefined) observeKafka(metrics.ofProcess(), kafka.source);
}

/** The built-in chain, where it is the source and this process has a part in it; all ledgers share it. */
async function openRegtest({ config, closers }: ProcessParts): Promise<RegtestChain | undefined> {
  if (config.source !== 'builtin' || !config.roles.has('follower')) return undefined;
  const chain = await openBuiltinChain(config);
  closers.add('built-in chain', () => chain.close());
  return chain;
}

/** What a person can mend is one line that names it. */
async function listening<T>({ host, port }: Config, attempt: Promise<T>): Promise<T> {
  try {
    return await attempt;
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? cause.code : undefined;
    const what = {
      EADDRINUSE: `PORT: ${host}:${port} is in use by another program: stop it, or choose another port`,
      EACCES: `PORT: this user may not listen on ${host}:${port}`,
      EADDRNOTAVAIL: `HOST: ${host} is not an address of this machine`,
      ENOTFOUND: `HOST: ${host} is not an address of this machine`,
    }[String(code)];
    throw what === undefined ? cause : new FatalError(what, {}, { cause });
  }
}
