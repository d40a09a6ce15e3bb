import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { importBlocks, type ImportSummary } from '../../src/bitcoin/import/import-blocks.js';
import { readBalances } from '../support/read-balances.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { createFollowLedger, type FollowLedger } from '../support/follow-ledger.js';
import { projectToHead } from '../support/live-read-models.js';

/** Satoshi's key of block 9: its coinbase paid 50 BTC, which block 170 spends. Pay to public key. */
const SATOSHI =
  '410411db93e1dcdb8a016b49840f8c53bc1eb68a382e97b1482ecad7b148a6909a5cb2e0eaddfb84ccf9744464f82e160bfa9b8b64f9d4c03f999b8643f656b412a3ac';
/** Hal Finney's key, as block 170 pays it 10 BTC. */
const FINNEY =
  '4104ae1a62fe09c5f51b13905f07f06b99a2f7159b2225f374cd378d71302fa28414e7aab37397f554a7df5f142c21c1b7303b8a0626f1baded5c72a704f7e6cd84cac';
const BTC = 100_000_000n;

/** Real blocks, from the file to the balances at each height. */
describe('the first payment ever made between two people', () => {
  let db: TestDatabase;
  let ledger: FollowLedger;
  let summary: ImportSummary;

  beforeAll(async () => {
    const folder = process.env['TALLYSTICK_BLOCKS_DIR'];
    if (!folder) throw new Error('TALLYSTICK_BLOCKS_DIR must name the folder with the mainnet blocks');
    db = await createTestDatabase();
    ledger = createFollowLedger(db, 'first-payment');
    for (const accountId of ['satoshi', 'finney']) {
      await ledger.append(`account-${accountId}`, { type: 'AccountOpened', data: { accountId, metadata: {} } });
    }
    await ledger.createWallet('w');
    await ledger.watchScript('w', Buffer.from(SATOSHI, 'hex'), 'satoshi');
    await ledger.watchScript('w', Buffer.from(FINNEY, 'hex'), 'finney');
    summary = await importBlocks({
      files: [join(folder, 'mainnet-000001-000255.blk.dat')],
      ledger: ledger.ledger,
      network: 'mainnet',
      store: ledger.store,
      outbox: ledger.outbox,
      startBlock: undefined,
      depositConfirmations: 1,
      finalityDepth: 144,
      now: () => Date.now(),
      random: () => 0.5,
    });
    await projectToHead(db.pool, ledger.ledger);
  });
  afterAll(() => db?.drop());

  it('is found: 50 in; then 50 out, 10 and 40 in', async () => {
    expect(summary).toMatchObject({ read: 255, connected: 255, problemCount: 0, tip: { height: 255 } });
    const found = (await ledger.chainStory()).flatMap((step) =>
      step.step === 'connected' && step.found.received.length > 0 ? [step] : [],
    );
    expect(
      found.map(({ height, found: { received, spent } }) => ({
        height,
        received: received.map(({ amountSats, accountId, coinbase }) => [
          BigInt(amountSats) / BTC,
          accountId,
          coinbase,
        ]),
        spent: spent.map(({ amountSats, accountId }) => [BigInt(amountSats) / BTC, accountId]),
      })),
    ).toEqual([
      { height: 9, received: [[50n, 'satoshi', true]], spent: [] },
      {
        height: 170,
        received: [
          [10n, 'finney', false],
          [40n, 'satoshi', false],
        ],
        spent: [[50n, 'satoshi']],
      },
      ...found.slice(2).map(() => expect.anything() as unknown),
    ]);
  });

  it.each([
    { height: 8, satoshi: 0n, pending: 0n, finney: 0n, wallet: [0n, 0n] },
    { height: 9, satoshi: 0n, pending: 50n, finney: 0n, wallet: [0n, 50n] },
    { height: 107, satoshi: 0n, pending: 50n, finney: 0n, wallet: [0n, 50n] },
    { height: 108, satoshi: 50n, pending: 0n, finney: 0n, wallet: [50n, 0n] },
    { height: 169, satoshi: 50n, pending: 0n, finney: 0n, wallet: [50n, 0n] },
    // Nothing books the spend to an account: it was made without the ledger, and goes to suspense.
    { height: 170, satoshi: 90n, pending: 0n, finney: 10n, wallet: [50n, 0n] },
  ])('balances at height $height', async ({ height, satoshi, pending, finney, wallet }) => {
    const position = await ledger.outbox.head();
    const at = { position, chainPosition: position, height };
    const balances = await readBalances(db.pool, ledger.ledger, ['satoshi', 'finney'], at);
    expect(balances.get('satoshi') ?? { availableSats: 0n, pendingSats: 0n }).toMatchObject({
      availableSats: satoshi * BTC,
      pendingSats: pending * BTC,
    });
    expect(balances.get('finney') ?? { availableSats: 0n }).toMatchObject({ availableSats: finney * BTC });
    const { rows } = await db.pool.query<{ confirmed_sats: bigint; immature_sats: bigint }>(
      `SELECT confirmed_sats, immature_sats FROM "read_first-payment".wallet_chain
       WHERE wallet_id = 'w' AND height <= $1 AND from_position <= $2 AND to_position > $2 ORDER BY height DESC LIMIT 1`,
      [height, position],
    );
    const [sums = { confirmed_sats: 0n, immature_sats: 0n }] = rows;
    expect([sums.confirmed_sats / BTC, sums.immature_sats / BTC]).toEqual(wallet);
  });
});
