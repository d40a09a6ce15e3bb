import { ConfigError } from './config-error.js';
import { integer, oneOf, readUrl, type Get } from './config-values.js';
import { readDistributedConfig, type DistributedConfig, type Role } from './distributed-config.js';
import { readTracesConfig, type TracesConfig } from './traces-config.js';
import { readWithdrawalConfig, type WithdrawalConfig } from './withdrawal-config.js';

export { ConfigError };

export type BitcoinNetwork = 'regtest' | 'signet' | 'testnet4' | 'mainnet';
export type BitcoinSource = 'builtin' | 'rpc' | 'push';

export interface Config extends WithdrawalConfig, DistributedConfig, TracesConfig {
  host: string;
  port: number;
  dataDir: string;
  /** Undefined: an embedded PostgreSQL under `dataDir`. */
  databaseUrl: string | undefined;
  network: BitcoinNetwork;
  source: BitcoinSource;
  /** With user and password; never logged. */
  rpcUrl: string | undefined;
  startBlock: { height: number; hash: string } | undefined;
  depositConfirmations: number;
  finalityDepth: number;
  /** Undefined: open, which is allowed on loopback only. */
  apiKeys: readonly string[] | undefined;
  trustProxy: boolean;
  logLevel: 'debug' | 'info' | 'warn' | 'error' | 'silent';
}

const NETWORKS: readonly BitcoinNetwork[] = ['regtest', 'signet', 'testnet4', 'mainnet'];
const SOURCES: readonly BitcoinSource[] = ['builtin', 'rpc', 'push'];
const LOG_LEVELS = ['debug', 'info', 'warn', 'error', 'silent'] as const;
const LOOPBACK = /^(127(\.\d{1,3}){3}|::1|localhost)$/;
/** Short keys can be guessed; 16 characters are the least that a random key should have. */
const MIN_API_KEY_LENGTH = 16;
/** What the built-in chain and pushed blocks need in one process: who takes a request is who writes the blocks. */
const TOGETHER: Readonly<Record<Exclude<BitcoinSource, 'rpc'>, readonly Role[]>> = {
  builtin: ['api', 'follower', 'workflow'],
  push: ['api', 'follower'],
};

/**
 * Reads the configuration from the environment.
 *
 * @throws ConfigError naming the variable
 */
export function readConfig(env: Readonly<Record<string, string | undefined>>): Config {
  const get = (name: string): string | undefined => {
    const value = env[name]?.trim();
    return value === '' ? undefined : value;
  };
  const network = oneOf(get, 'BITCOIN_NETWORK', NETWORKS, 'regtest');
  const rpcUrl = readUrl(get, 'BITCOIN_RPC_URL', ['http:', 'https:']);
  const host = get('HOST') ?? '127.0.0.1';
  const apiKeys = readApiKeys(get);
  if (apiKeys === undefined && !LOOPBACK.test(host)) {
    throw new ConfigError('API_KEYS', `must be set when HOST (${host}) is not loopback`);
  }
  const distributed = readDistributedConfig(get);
  const source = readSource(get, network, rpcUrl);
  refuseApart(source, distributed);
  const finalityDepth = integer(get, 'FINALITY_DEPTH', { min: 1, max: 100_000, fallback: 144 });
  return {
    host,
    port: integer(get, 'PORT', { min: 0, max: 65_535, fallback: 3000 }),
    ...distributed,
    ...readTracesConfig(get),
    dataDir: get('DATA_DIR') ?? './data',
    databaseUrl: readUrl(get, 'DATABASE_URL', ['postgres:', 'postgresql:']),
    network,
    source,
    rpcUrl,
    startBlock: readStartBlock(get),
    depositConfirmations: integer(get, 'DEPOSIT_CONFIRMATIONS', {
      min: 1,
      max: 1000,
      fallback: network === 'regtest' ? 1 : 6,
    }),
    finalityDepth,
    apiKeys,
    ...readWithdrawalConfig(get, network, finalityDepth),
    trustProxy: oneOf(get, 'TRUST_PROXY', ['true', 'false'], 'false') === 'true',
    logLevel: oneOf(get, 'LOG_LEVEL', LOG_LEVELS, 'info'),
  };
}

/** @throws ConfigError where a source of blocks is divided between processes that cannot share it */
function refuseApart(source: BitcoinSource, { roles }: DistributedConfig): void {
  if (source === 'rpc') return;
  const some = TOGETHER[source].filter((role) => roles.has(role));
  if (some.length > 0 && some.length < TOGETHER[source].length) {
    throw new ConfigError(
      'ROLE',
      `with BITCOIN_SOURCE '${source}' the roles ${TOGETHER[source].join(', ')} run in one process: name all of them or none`,
    );
  }
}

function readSource(get: Get, network: BitcoinNetwork, rpcUrl: string | undefined): BitcoinSource {
  const fallback = rpcUrl !== undefined ? 'rpc' : network === 'regtest' ? 'builtin' : 'push';
  const source = oneOf(get, 'BITCOIN_SOURCE', SOURCES, fallback);
  if (source === 'rpc' && rpcUrl === undefined)
    throw new ConfigError('BITCOIN_RPC_URL', "must be set when BITCOIN_SOURCE is 'rpc'");
  if (source === 'builtin' && network !== 'regtest') {
    throw new ConfigError('BITCOIN_SOURCE', `'builtin' is a regtest chain, but BITCOIN_NETWORK is '${network}'`);
  }
  return source;
}

function readStartBlock(get: Get): { height: number; hash: string } | undefined {
  const text = get('START_BLOCK');
  if (text === undefined) return undefined;
  const match = /^(0|[1-9]\d{0,8}):([0-9a-fA-F]{64})$/.exec(text);
  if (!match?.[1] || !match[2]) throw new ConfigError('START_BLOCK', 'must be <height>:<hash of 64 hex digits>');
  return { height: Number(match[1]), hash: match[2].toLowerCase() };
}

function readApiKeys(get: Get): readonly string[] | undefined {
  const text = get('API_KEYS');
  if (text === undefined) return undefined;
  const keys = text.split(',').map((key) => key.trim());
  if (keys.some((key) => key.length < MIN_API_KEY_LENGTH)) {
    throw new ConfigError('API_KEYS', `must be keys of at least ${MIN_API_KEY_LENGTH} characters, divided by commas`);
  }
  return keys;
}
