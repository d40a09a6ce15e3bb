import { ConfigError, type Config } from '../platform/config.js';

/** The ledger that a command works on: it is asked for one at a time. */
export function oneLedger({ ledgers }: Pick<Config, 'ledgers'>): string {
  const [only, ...more] = ledgers;
  if (only === undefined || more.length > 0) {
    throw new ConfigError('LEDGER', `names ${ledgers.length} ledgers: this command works on one, name it`);
  }
  return only;
}
