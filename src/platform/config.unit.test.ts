import { describe, expect, it } from 'vitest';
import { ConfigError, readConfig } from './config.js';

const HASH = '0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206';

describe('readConfig', () => {
  it('needs nothing: regtest with the built-in chain on loopback', () => {
    expect(readConfig({})).toEqual({
      host: '127.0.0.1',
      port: 3000,
      ledgers: ['main'],
      roles: new Set(['api', 'follower', 'relay', 'projector', 'workflow']),
      eventStore: 'postgres',
      eventStoreDbUrl: undefined,
      kafka: undefined,
      cdc: { connectUrl: undefined, connector: 'outbox', slot: 'tallystick', publication: 'tallystick' },
      dataDir: './data',
      databaseUrl: undefined,
      network: 'regtest',
      source: 'builtin',
      rpcUrl: undefined,
      startBlock: undefined,
      depositConfirmations: 1,
      finalityDepth: 144,
      withdrawalConfirmations: 1,
      withdrawalMaxSats: 2_100_000_000_000_000n,
      defaultWalletId: undefined,
      payoutWindowMs: 250,
      payoutMaxWithdrawals: 200,
      payoutMaxWeight: 100_000,
      payoutFeeBudgetPercent: 1,
      payoutChainDepth: 1,
      maxFeeRateSatsPerKvb: 500_000n,
      fallbackFeeRateSatsPerKvb: 5_000n,
      longTermFeeRateSatsPerKvb: 10_000n,
      signerUrl: undefined,
      signerSecret: undefined,
      signerTimeoutMs: 10_000,
      overdueMinutes: { requested: 10, prepared: 60, signed: 10, broadcast: 120, confirming: 240 },
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

  it('waits for an estimate on mainnet, and takes more time there', () => {
    expect(readConfig({ BITCOIN_NETWORK: 'mainnet' })).toMatchObject({
      fallbackFeeRateSatsPerKvb: undefined,
      withdrawalConfirmations: 6,
      payoutWindowMs: 1_000,
    });
    expect(readConfig({ BITCOIN_NETWORK: 'mainnet', FALLBACK_FEE_RATE: '12' }).fallbackFeeRateSatsPerKvb).toBe(12_000n);
    // Complete never comes after final.
    expect(readConfig({ BITCOIN_NETWORK: 'signet', FINALITY_DEPTH: '3' }).withdrawalConfirmations).toBe(3);
  });

  it('takes fee rates in sat/vB to a thousandth, and limits for some statuses alone', () => {
    const secret = 'a-secret-of-some-length';
    expect(
      readConfig({
        MAX_FEE_RATE: '1.001',
        LONG_TERM_FEE_RATE: '0.5',
        OVERDUE_MINUTES: 'signed:5, confirming:999',
        SIGNER_URL: 'http://127.0.0.1:1/sign',
        SIGNER_SECRET: secret,
        DEFAULT_WALLET: 'hot',
        WITHDRAWAL_MAX_SATS: '1000000',
      }),
    ).toMatchObject({
      maxFeeRateSatsPerKvb: 1_001n,
      fallbackFeeRateSatsPerKvb: 1_001n,
      longTermFeeRateSatsPerKvb: 500n,
      overdueMinutes: { requested: 10, prepared: 60, signed: 5, broadcast: 120, confirming: 999 },
      signerUrl: 'http://127.0.0.1:1/sign',
      signerSecret: secret,
      defaultWalletId: 'hot',
      withdrawalMaxSats: 1_000_000n,
    });
  });

  it.each([
    ['WITHDRAWAL_CONFIRMATIONS', '0'],
    ['WITHDRAWAL_CONFIRMATIONS', '145'],
    ['WITHDRAWAL_MAX_SATS', '2100000000000001'],
    ['WITHDRAWAL_MAX_SATS', '1.5'],
    ['DEFAULT_WALLET', 'a b'],
    ['PAYOUT_WINDOW_MS', '-1'],
    ['PAYOUT_MAX_WITHDRAWALS', '501'],
    ['PAYOUT_MAX_WEIGHT', '400001'],
    ['PAYOUT_FEE_BUDGET_PERCENT', '101'],
    ['PAYOUT_CHAIN_DEPTH', '21'],
    ['MAX_FEE_RATE', '0'],
    ['MAX_FEE_RATE', '1.0001'],
    ['MAX_FEE_RATE', '1e3'],
    ['FALLBACK_FEE_RATE', '501'],
    ['LONG_TERM_FEE_RATE', 'ten'],
    ['SIGNER_URL', 'file:///secret'],
    ['SIGNER_URL', 'http://127.0.0.1:1'],
    ['SIGNER_SECRET', 'short-secret'],
    ['SIGNER_TIMEOUT_MS', '1'],
    ['OVERDUE_MINUTES', 'completed:5'],
    ['OVERDUE_MINUTES', 'signed:0'],
    ['OVERDUE_MINUTES', 'signed'],
  ])('names the variable of withdrawals in one line: %s=%s', (name, value) => {
    const wrong = ((): ConfigError => {
      try {
        readConfig({ [name]: value });
      } catch (error) {
        if (error instanceof ConfigError) return error;
      }
      throw new Error('it was accepted');
    })();
    // A URL alone lacks its secret.
    expect(wrong.variable).toBe(value.startsWith('http') ? 'SIGNER_SECRET' : name);
    expect(wrong.message).not.toContain('\n');
    expect(wrong.message).not.toContain('secret');
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
    ['LEDGER', 'a,,b'],
    ['LEDGER', 'a,b,a'],
    ['LEDGER', Array.from({ length: 101 }, (_, n) => `l${n}`).join(',')],
    ['EVENT_STORE', 'mongodb'],
    ['EVENTSTOREDB_URL', 'http://u:secret@host'],
    ['ROLE', 'relay'],
    ['ROLE', 'api,miner'],
    ['ROLE', 'all,api'],
    ['KAFKA_BROKERS', '127.0.0.1'],
    ['CONNECT_URL', 'kafka://u:secret@host'],
    ['SLOT_NAME', 'Tally-stick'],
  ])('stops at %s=%s with one line that names it and repeats no password', (name, value) => {
    const attempt = (): unknown => readConfig({ [name]: value });
    expect(attempt).toThrow(ConfigError);
    expect(attempt).toThrow(new RegExp(`^${name}: [^\\n]+$`));
    expect(attempt).not.toThrow(/secret/);
  });

  it('takes several ledgers, and roles of a process', () => {
    const config = readConfig({
      LEDGER: 'a, b',
      ROLE: 'projector,relay',
      EVENT_STORE: 'eventstoredb',
      EVENTSTOREDB_URL: 'esdb://127.0.0.1:2113',
    });
    expect(config.ledgers).toEqual(['a', 'b']);
    expect(config.roles).toEqual(new Set(['projector', 'relay']));
  });

  it('names what EventStoreDB lacks, and what is set in vain', () => {
    expect(() => readConfig({ EVENT_STORE: 'eventstoredb' })).toThrow(/^EVENTSTOREDB_URL: must be set/);
    expect(() => readConfig({ EVENTSTOREDB_URL: 'esdb://127.0.0.1:2113' })).toThrow(/^EVENT_STORE: must be/);
  });

  it('reads how Kafka is reached', () => {
    expect(readConfig({ KAFKA_BROKERS: 'one:9092, two:9092', KAFKA_PARTITIONS: '3' }).kafka).toEqual({
      brokers: ['one:9092', 'two:9092'],
      topic: 'tallystick.outbox',
      partitions: 3,
      group: 'tallystick',
    });
    const attempt = (): unknown => readConfig({ KAFKA_BROKERS: 'one:9092', KAFKA_TOPIC: 'a b' });
    expect(attempt).toThrow(/^KAFKA_TOPIC: /);
  });

  it('keeps what one source of blocks needs in one process', () => {
    expect(() => readConfig({ ROLE: 'api' })).toThrow(/^ROLE: .*'builtin'/);
    expect(() => readConfig({ ROLE: 'follower', BITCOIN_SOURCE: 'push' })).toThrow(/^ROLE: .*'push'/);
    expect(readConfig({ ROLE: 'projector' }).roles).toEqual(new Set(['projector']));
    expect(readConfig({ ROLE: 'api', BITCOIN_RPC_URL: 'http://u:p@127.0.0.1:1' }).roles).toEqual(new Set(['api']));
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
