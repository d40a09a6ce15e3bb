import { openLedger } from '../app/open-ledger.js';
import { readConfig, type Config } from '../platform/config.js';
import { createLogger, type Logger } from '../platform/logger.js';
import { VERSION } from '../platform/version.js';
import { EXIT_FAILED } from './exit.js';

/** A stop that takes longer than this is not clean any more; everything durable is durable already. */
const STOP_TIMEOUT_MS = 20_000;

/** `tallystick start`: runs until SIGINT or SIGTERM. */
export async function runStart(): Promise<void> {
  const config = readConfig(process.env);
  const logger = createLogger(config.logLevel);
  if (config.apiKeys === undefined) {
    logger.warn('API_KEYS is not set: the API is open to everybody on this machine');
  }
  const stopRequested = new Promise<string>((resolve) => {
    process.once('SIGINT', () => {
      resolve('SIGINT');
    });
    process.once('SIGTERM', () => {
      resolve('SIGTERM');
    });
  });
  const ledger = await openLedger(config, {
    logger,
    onFatal: (error) => {
      die(logger, error);
    },
  });
  process.on('uncaughtException', (error) => {
    die(logger, error);
  });
  process.on('unhandledRejection', (error) => {
    die(logger, error);
  });
  process.stdout.write(welcome(ledger.url, config));

  const signal = await stopRequested;
  logger.info({ signal }, 'stopping');
  const timer = setTimeout(() => {
    logger.error('the stop took too long: ending at once');
    process.exit(EXIT_FAILED);
  }, STOP_TIMEOUT_MS);
  await ledger.close();
  clearTimeout(timer);
  process.exit(0);
}

/** Nothing more may be written by a process whose state is in doubt. What is committed stays; the next start goes on from there. */
function die(logger: Logger, error: unknown): never {
  logger.fatal(
    { err: error },
    'a broken invariant or an unexpected error: the process ends before it writes anything more',
  );
  process.exit(EXIT_FAILED);
}

function welcome(url: string, config: Config): string {
  const chain = { builtin: 'built-in chain', rpc: 'node over RPC', push: 'pushed blocks' }[config.source];
  const lines = [
    '',
    `Tallystick ${VERSION}  ·  ledger ${config.ledger}  ·  ${config.network}, ${chain}`,
    '',
    `  page      ${url}/`,
    `  GraphiQL  ${url}/graphiql`,
    `  API docs  ${url}/docs`,
    '',
    'Try next:',
    `  curl -s ${url}/v1/accounts -H 'Idempotency-Key: a1' -H 'Content-Type: application/json' -d '{"accountId":"alice"}'`,
    `  curl -s ${url}/v1/wallets -H 'Idempotency-Key: w1' -H 'Content-Type: application/json' -d '{"walletId":"hot"${config.network === 'regtest' ? ',"signer":"local"' : ''}}'`,
    `  curl -s ${url}/graphql -H 'Content-Type: application/json' -d '{"query":"{ ledger { position tip { height } customersSats walletsSats differenceSats } }"}'`,
    '',
    'Ctrl-C stops it; the next start finds everything as it was.',
    '',
  ];
  return `${lines.join('\n')}\n`;
}
