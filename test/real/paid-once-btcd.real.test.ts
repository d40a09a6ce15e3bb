import { randomInt } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Dice } from '../simulate/dice.js';
import { startBtcdLedger, WAIT_MS, type BtcdLedger } from '../support/btcd-ledger.js';
import { countOnTheChain } from '../support/count-on-the-chain.js';
import { createLyingRpc, type LyingRpc } from '../support/lying-rpc.js';
import { createTestWallet } from '../support/regtest-wallet.js';

const SEED = Number(process.env['TALLYSTICK_SEED'] ?? randomInt(2 ** 31));
const FINALITY_DEPTH = 4;
const ROUNDS = 4;
const PER_ROUND = 3;
const COIN_SATS = 1_000_000n;

const recipients = createTestWallet(94);
let lies: LyingRpc;
let ledger: BtcdLedger;

beforeAll(async () => {
  lies = createLyingRpc(new Dice(SEED, 'node'));
  ledger = await startBtcdLedger({ FINALITY_DEPTH: String(FINALITY_DEPTH) }, { through: lies.through });
});

afterAll(async () => {
  await ledger?.close();
  await lies.close();
});

/** Takes the last block off and mines two without its transactions, which are the mempool's again. */
async function reorganise(): Promise<void> {
  await ledger.node().call('invalidateblock', await ledger.node().call<string>('getbestblockhash'));
  await ledger.mineOnly([]);
  await ledger.mineOnly([]);
}

describe('withdrawals through a node that lies', () => {
  it(`are paid once each, as a script counts that asks the node for its blocks (seed ${SEED})`, async () => {
    const dice = new Dice(SEED, 'people');
    await ledger.fundedWallet(
      'lied',
      Array.from({ length: ROUNDS * PER_ROUND }, () => COIN_SATS),
    );
    const asked: { id: string; address: string; amountSats: bigint }[] = [];
    for (let round = 0; round < ROUNDS; round += 1) {
      for (let nth = 0; nth < PER_ROUND; nth += 1) {
        const id = `lied-${round}-${nth}`;
        const address = recipients.addressOf('p2wpkh', asked.length);
        const amountSats = 100_000n + BigInt(asked.length);
        await ledger.withdraw({
          ...{ withdrawalId: id, accountId: 'lied', walletId: 'lied', address, amountSats: amountSats.toString() },
          ...(dice.chance(0.5) ? { maxFeeSats: '30000', confirmationTarget: 1 } : {}),
        });
        asked.push({ id, address, amountSats });
        await sleep(dice.between(0, 800));
      }
      // Whatever can be raised now: the ledger says of the rest that it cannot.
      for (const { id } of asked) {
        await ledger.client.post(`/v1/withdrawals/${id}/bump`, {}, `raise ${id} in round ${round}`);
      }
      await sleep(dice.between(500, 2_000));
      await ledger.generate(1);
      await sleep(dice.between(0, 1_000));
      if (dice.chance(0.6)) await reorganise();
    }
    lies.becomeHonest();
    for (const { id } of asked) {
      const status = async (): Promise<string> => {
        const seen = await ledger.withdrawal(id);
        if (seen.status !== 'completed') await ledger.generate(1);
        return seen.status;
      };
      // What was refused is tried again after a while, at most two minutes later.
      await expect.poll(status, { timeout: 3 * WAIT_MS, interval: 1_000, message: id }).toBe('completed');
    }
    await ledger.generate(FINALITY_DEPTH);
    const counted = await countOnTheChain(asked, { nodeUrl: ledger.node().url });
    expect(counted.code, counted.output).toBe(0);
    await ledger.verify();
    expect([...lies.done.keys()], 'lies that were told').toEqual(expect.arrayContaining(['lost', 'refused']));
  });
});
