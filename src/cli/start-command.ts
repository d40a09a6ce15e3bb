import { readConfig, type Config } from '../platform/config.js';
import { ROLES } from '../platform/distributed-config.js';
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
  // What is wrong with the configuration has been said by now.
  const { openProcess } = await import('../app/open-process.js');
  const running = await openProcess(config, {
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
  process.stdout.write(welcome(running.url, config));

  const signal = await stopRequested;
  logger.info({ signal }, 'stopping');
  const timer = setTimeout(() => {
    logger.error('the stop took too long: ending at once');
    process.exit(EXIT_FAILED);
  }, STOP_TIMEOUT_MS);
  await running.close();
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

function welcome(origin: string, config: Config): string {
  const { ledgers, roles, network, source } = config;
  const chain = { builtin: 'built-in chain', rpc: 'node over RPC', push: 'pushed blocks' }[source];
  const isAll = roles.size === ROLES.length;
  const title = [
    `Tallystick ${VERSION}`,
    `${ledgers.length > 1 ? 'ledgers' : 'ledger'} ${ledgers.join(', ')}`,
    `${network}, ${chain}`,
    ...(isAll ? [] : [`roles ${[...roles].join(', ')}`]),
  ].join('  ·  ');
  const lines = roles.has('api')
    ? ['', title, '', ...whatToTry(ledgers.length > 1 ? `${origin}/ledgers/${ledgers[0] ?? ''}` : origin, network), '']
    : ['', title, '', `  health    ${origin}/health/ready`, `  metrics   ${origin}/metrics`, ''];
  return `${[...lines, 'Ctrl-C stops it; the next start finds everything as it was.', ''].join('\n')}\n`;
}

function whatToTry(url: string, network: Config['network']): string[] {
  const signer = network === 'regtest' ? ',"signer":"local"' : '';
  return [
    `  page      ${url}/`,
    `  GraphiQL  ${url}/graphiql`,
    `  API docs  ${url}/docs`,
    '',
    'Try next:',
    `  curl -s ${url}/v1/accounts -H 'Idempotency-Key: a1' -H 'Content-Type: application/json' -d '{"accountId":"alice"}'`,
    `  curl -s ${url}/v1/wallets -H 'Idempotency-Key: w1' -H 'Content-Type: application/json' -d '{"walletId":"hot"${signer}}'`,
    `  curl -s ${url}/graphql -H 'Content-Type: application/json' -d '{"query":"{ ledger { position tip { height } customersSats walletsSats differenceSats } }"}'`,
  ];
}
