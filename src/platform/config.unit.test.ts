import { describe, expect, it } from 'vitest';
import { ConfigError, readConfig } from './config.js';

const HASH = '0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206';

describe('readConfig', () => {
  it('needs nothing: regtest with the built-in chain on loopback', () => {
    expect(readConfig({})).toEqual({
      host: '127.0.0.1',
      port: 3000,
      ledger: 'main',
      dataDir: './data',
      databaseUrl: undefined,
      network: 'regtest',
      source: 'builtin',
      rpcUrl: undefined,
      startBlock: undefined,
      depositConfirmations: 1,
      finalityDepth: 144,
      apiKeys: undefined,
      trustProxy: false,
      logLevel: 'info',
    });
  });

  it('takes blocks from a node where one is named, and by push on other networks', () => {
    expect(readConfig({ BITCOIN_RPC_URL: 'http://u:p@127.0.0.1:18443' }).source).toBe('rpc');
    expect(readConfig({ BITCOIN_NETWORK: 'mainnet' })).toMatchObject({ source: 'push', depositConfirmations: 6 });
    expect(readConfig({ START_BLOCK: `170:${HASH.toUpperCase()}` }).startBlock).toEqual({ height: 170, hash: HASH });
  });

  it.each([
    ['PORT', '65536'],
    ['PORT', '3000x'],
    ['LEDGER', 'My Ledger'],
    ['LEDGER', 'a'.repeat(41)],
    ['BITCOIN_NETWORK', 'testnet3'],
    ['BITCOIN_SOURCE', 'rest'],
    ['BITCOIN_RPC_URL', 'ftp://u:secret@host'],
    ['DATABASE_URL', 'mysql://u:secret@host/db'],
    ['START_BLOCK', HASH],
    ['DEPOSIT_CONFIRMATIONS', '0'],
    ['FINALITY_DEPTH', '-1'],
    ['API_KEYS', 'short'],
    ['LOG_LEVEL', 'loud'],
    ['TRUST_PROXY', 'yes'],
    ['EVENT_STORE', 'mongodb'],
    ['ROLE', 'relay'],
    ['KAFKA_BROKERS', '127.0.0.1:9092'],
  ])('stops at %s=%s with one line that names it and repeats no password', (name, value) => {
    const attempt = (): unknown => readConfig({ [name]: value });
    expect(attempt).toThrow(ConfigError);
    expect(attempt).toThrow(new RegExp(`^${name}: [^\\n]+$`));
    expect(attempt).not.toThrow(/secret/);
  });

  it('refuses to listen beyond loopback without keys', () => {
    expect(() => readConfig({ HOST: '0.0.0.0' })).toThrow(/^API_KEYS: /);
    expect(readConfig({ HOST: '0.0.0.0', API_KEYS: 'k'.repeat(16) }).apiKeys).toEqual(['k'.repeat(16)]);
  });

  it('refuses a built-in chain for a network that has a real one', () => {
    expect(() => readConfig({ BITCOIN_NETWORK: 'mainnet', BITCOIN_SOURCE: 'builtin' })).toThrow(/^BITCOIN_SOURCE: /);
    expect(() => readConfig({ BITCOIN_SOURCE: 'rpc' })).toThrow(/^BITCOIN_RPC_URL: /);
  });
});
