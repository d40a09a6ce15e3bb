import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { createPool } from '../../../src/platform/postgres/pool.js';
import { startBtcdLedger } from '../../support/btcd-ledger.js';
import { eventually, openBench, type CdcBench } from '../../support/cdc-ledger.js';
import { startDeployment, type Deployment } from '../../support/deployment.js';
import { startStandIn, type StandIn } from '../../support/eventstoredb/stand-in.js';
import { runJourney } from '../../support/journey.js';
import { runTallystick, startLedgerProcess } from '../../support/ledger-process.js';

/** What holds for one process holds for the roles apart, with EventStoreDB, Debezium and Kafka between them. */

let bench: CdcBench;
let events: StandIn;
const ended: (() => Promise<unknown>)[] = [];

beforeAll(async () => {
  bench = openBench();
  events = await startStandIn();
});
afterEach(async () => {
  const errors: unknown[] = [];
  for (const end of ended.splice(0).reverse()) await end().catch((error: unknown) => errors.push(error));
  expect(errors).toEqual([]);
});
afterAll(async () => {
  await events.stop();
  await bench.close();
});

const ROLES = {
  api: { ROLE: 'api' },
  follower: { ROLE: 'follower' },
  relay: { ROLE: 'relay' },
  'projector 1': { ROLE: 'projector' },
  'projector 2': { ROLE: 'projector' },
  workflow: { ROLE: 'workflow' },
};

function environmentOf(ledger: string): Record<string, string> {
  return {
    DATABASE_URL: bench.stack.env()['DATABASE_URL'] ?? '',
    KAFKA_BROKERS: bench.stack.env()['KAFKA_BROKERS'] ?? '',
    KAFKA_GROUP: ledger,
    EVENT_STORE: 'eventstoredb',
    EVENTSTOREDB_URL: events.url,
    LEDGER: ledger,
  };
}

async function verify(ledger: string): Promise<void> {
  const pool = createPool(bench.stack.env()['DATABASE_URL'] ?? '', { max: 1 });
  try {
    await eventually('read models reach the head', async () => {
      const { rows } = await pool.query<{ behind: bigint }>(
        `SELECT h.position - min(c.position) AS behind FROM ledger_head h JOIN projection_checkpoint c USING (ledger)
         WHERE h.ledger = $1 GROUP BY h.position`,
        [ledger],
      );
      return rows[0]?.behind === 0n;
    });
  } finally {
    await pool.end();
  }
  const verified = await runTallystick(['verify', '--json'], environmentOf(ledger));
  expect(verified, verified.stdout + verified.stderr).toMatchObject({ code: 0 });
}

/** The chain's stream has its first two events: from here on the order of events is that of the journey. */
async function chainIsOpen(ledger: string): Promise<void> {
  await eventually('the chain is open', async () => {
    const { rows } = await bench.pool.query(
      `SELECT FROM outbox WHERE ledger = $1 AND stream = 'chain-regtest' AND revision = 1`,
      [ledger],
    );
    return rows.length > 0;
  });
}

const newLedger = (): string => `acc-${randomBytes(4).toString('hex')}`;

async function deploy(
  ledger: string,
  environment: Record<string, string>,
  services: Record<string, Record<string, string>>,
): Promise<Deployment> {
  const dataDir = mkdtempSync(join(tmpdir(), 'tallystick-deployment-'));
  const deployment = await startDeployment({ DATA_DIR: dataDir, ...environmentOf(ledger), ...environment }, services);
  ended.push(async () => {
    await deployment.close();
    rmSync(dataDir, { recursive: true, force: true });
  });
  return deployment;
}

describe('roles apart', () => {
  it('write the very story that one process writes', async () => {
    const one = mkdtempSync(join(tmpdir(), 'tallystick-one-'));
    ended.push(() => Promise.resolve(rmSync(one, { recursive: true, force: true })));
    const oneLedger = newLedger();
    const embedded = await startLedgerProcess({
      DATA_DIR: one,
      DATABASE_URL: bench.stack.env()['DATABASE_URL'] ?? '',
      LEDGER: oneLedger,
      BITCOIN_SOURCE: 'push',
    });
    ended.push(() => embedded.kill());
    await chainIsOpen(oneLedger);
    const expected = await runJourney(() => embedded.url);

    const ledger = newLedger();
    const { api, follower, ...others } = ROLES;
    // Blocks are pushed to the process that follows.
    const services = { api: { ROLE: `${api.ROLE},${follower.ROLE}` }, ...others };
    const deployment = await deploy(ledger, { BITCOIN_SOURCE: 'push' }, services);
    await chainIsOpen(ledger);
    const told = await runJourney(() => deployment.service('api').url());
    expect(told).toEqual(expected);
    await verify(ledger);
    const outbox = async (name: string): Promise<unknown[]> => {
      const { rows } = await bench.pool.query<object>(
        `SELECT position, stream, revision, type, schema_version, data - 'transferId' AS data FROM outbox WHERE ledger = $1 ORDER BY position`,
        [name],
      );
      return rows;
    };
    // Ids that are made of the ledger's name differ.
    expect(await outbox(ledger)).toEqual(await outbox(oneLedger));
  });

  it('pay a withdrawal, replace it, and settle it once', async () => {
    const ledger = newLedger();
    const btcd = await startBtcdLedger(
      // The house pays the fees: as much as a replacement costs here.
      { ...environmentOf(ledger), PAYOUT_FEE_BUDGET_PERCENT: '50' },
      {
        databaseUrl: environmentOf(ledger)['DATABASE_URL'] ?? '',
        run: async (environment) => {
          const deployment = await startDeployment(environment, ROLES);
          return {
            url: deployment.service('api').url(),
            close: async () => {
              await deployment.close();
              const again = Object.keys(ROLES).filter((name) => deployment.service(name).starts() > 1);
              if (again.length > 0) throw new Error(`${again.join(', ')} ended:\n${deployment.output()}`);
            },
          };
        },
      },
    );
    ended.push(() => btcd.close());
    await btcd.fundedWallet('alice', [100_000n, 100_000n]);
    const address = btcd.bank.addressOf('p2wpkh', 7);
    await btcd.withdraw({ withdrawalId: 'w1', accountId: 'alice', address, amountSats: '60000' });
    const sent = await btcd.until('w1', { status: 'broadcast' });
    const [first] = sent.payout?.candidates ?? [];
    if (first === undefined) throw new Error('nothing was sent');
    const feeRateSatsPerVbyte = Math.round((2 * 4_000 * Number(first.feeSats)) / first.weight) / 1_000;
    await btcd.command('/v1/withdrawals/w1/bump', { feeRateSatsPerVbyte });
    const accepted = { transactions: [{ answer: 'accepted' }] };
    await btcd.until('w1', { payout: { candidates: [{}, accepted] } });
    await btcd.generate(1);
    const paid = await btcd.until('w1', { status: 'completed' });
    expect(paid.candidates).toContain(sent.txid);
    // The chain says first that it is complete; a moment later the account is settled.
    const account = async (): Promise<unknown> => (await btcd.client.get('/v1/accounts/alice')).body;
    await expect.poll(account, { timeout: 60_000 }).toMatchObject({ availableSats: '140000', reservedSats: '0' });
    await verify(ledger);
  });
});
