import type pg from 'pg';
import type { Config } from '../platform/config.js';
import { Mounts } from '../platform/http/mounts.js';
import type { Logger } from '../platform/logger.js';
import { createMetrics, type LedgerMetrics, type Metrics } from '../platform/metrics.js';
import { createPool } from '../platform/postgres/pool.js';
import { openTracing, type Tracing } from '../platform/tracing.js';
import { createClosers, type Closers } from './closers.js';
import { openDatabase } from './open-database.js';
import { createProjectedListener, type ProjectedListener } from './projected-listener.js';

/** Connections for commands and reads. */
const APP_CONNECTIONS = 16;
/** No statement of a command or a read takes this long: one that does must not hold its connection. */
const STATEMENT_TIMEOUT_MS = 10_000;
/** Of the engine, for each ledger: one leads the read models, one listens, some read the log and rebuild. */
const ENGINE_CONNECTIONS = 12;
/** Of the engine, for each ledger beyond the first: it is not rebuilt at the same moment as all others. */
const ENGINE_CONNECTIONS_MORE = 4;

/** What the ledgers of one process share. */
export interface ProcessParts {
  config: Config;
  logger: Logger;
  /** A broken invariant or another bug: the process must end. */
  onFatal: (error: unknown) => void;
  closers: Closers;
  /** For commands and reads. */
  pool: pg.Pool;
  /** For what follows the log. */
  enginePool: pg.Pool;
  /** Hears of read models that other processes move. */
  projected: ProjectedListener;
  metrics: Metrics;
  /** Undefined where OTEL_EXPORTER_OTLP_ENDPOINT is not set. */
  tracing: Tracing | undefined;
  /** Applications of the ledgers, by the paths below which they are served. */
  mounts: Mounts;
  /** A connection was lost, or something else that the process gets over by itself. */
  onTrouble: (error: Error) => void;
}

/** One ledger of a process. */
export interface LedgerContext extends ProcessParts {
  ledger: string;
  measured: LedgerMetrics;
}

/** Opens the database and what stands on it. `closers` closes it again, also when this fails half-way. */
export async function openProcessParts(
  config: Config,
  options: { logger: Logger; onFatal: (error: unknown) => void },
): Promise<ProcessParts> {
  const { logger, onFatal } = options;
  const closers = createClosers(logger);
  try {
    const onUntraced = (error: Error): void => {
      logger.warn({ err: error }, 'spans cannot be sent');
    };
    const tracing = config.traces && (await openTracing(config.traces, onUntraced));
    if (tracing !== undefined) closers.add('traces', () => tracing.close());
    const database = await openDatabase(config, 'own', logger, onFatal);
    closers.add('database', () => database.close());
    let isClosing = false;
    const onTrouble = (error: Error): void => {
      if (!isClosing) logger.warn({ err: error }, 'a connection was lost');
    };
    const pool = createPool(database.url, {
      max: APP_CONNECTIONS,
      role: database.role,
      applicationName: 'tallystick-app',
      settings: { statement_timeout: String(STATEMENT_TIMEOUT_MS), jit: 'off' },
      onError: onTrouble,
    });
    closers.add('pool', () => pool.end());
    const enginePool = createPool(database.url, {
      max: ENGINE_CONNECTIONS + (config.ledgers.length - 1) * ENGINE_CONNECTIONS_MORE,
      role: database.role,
      applicationName: 'tallystick-engine',
      onError: onTrouble,
    });
    closers.add('engine pool', () => enginePool.end());
    const projected = createProjectedListener(enginePool, onTrouble);
    closers.add('listener for read models', () => projected.close());
    return {
      config,
      logger,
      onFatal,
      closers: {
        ...closers,
        closeAll: () => {
          isClosing = true;
          return closers.closeAll();
        },
      },
      pool,
      enginePool,
      projected,
      metrics: createMetrics(),
      tracing,
      mounts: new Mounts(),
      onTrouble,
    };
  } catch (error) {
    await closers.closeAll().catch(() => undefined);
    throw error;
  }
}
