import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Transaction } from 'bitcoinjs-lib';
import { countPayments, startBtcdLedger, WAIT_MS, type BtcdLedger } from '../support/btcd-ledger.js';
import { createIndependentSigner, type IndependentSigner } from '../support/independent-signer.js';
import { SCRIPT_KINDS } from '../support/payment-plan.js';
import type { SeenWithdrawal } from '../support/seen-withdrawal.js';
import { createTestWallet, type ScriptType } from '../support/regtest-wallet.js';

/** Shallow, so that a test can bury what it mines. */
const FINALITY_DEPTH = 4;
const COIN_SATS = 1_000_000n;
/** Asked first it is too little; sent again it loses against what is there. */
const REFUSED: unknown = expect.stringMatching(/^(fee-too-low|replaced-by-better)$/);
const ANY: unknown = expect.anything();
const SOON = { timeout: WAIT_MS };

const recipients = createTestWallet(97);
let ledger: BtcdLedger;
/** What each address is to get, from the first withdrawal of the test on. */
let asked: Map<string, bigint[]>;
let addressesUsed = 0;
let keysUsed = 0;

function newAddress(type: ScriptType = 'p2wpkh'): string {
  return recipients.addressOf(type, ++addressesUsed);
}

/** Asks for it, and remembers what was asked for. */
async function withdraw(
  wallet: string,
  withdrawalId: string,
  options: { address?: string; amountSats?: bigint; rest?: Record<string, unknown> } = {},
): Promise<string> {
  const { address = newAddress(), amountSats = 300_000n, rest = {} } = options;
  const request = { withdrawalId, accountId: wallet, walletId: wallet, address, amountSats: amountSats.toString() };
  await ledger.withdraw({ ...request, ...rest });
  asked.set(address, [...(asked.get(address) ?? []), amountSats]);
  return address;
}

async function expectPaidOnce(): Promise<void> {
  const count = await countPayments(ledger.node());
  const got = [...asked.keys()].map((address) => [address, count(address).map(String).sort()]);
  expect(got).toEqual([...asked].map(([address, amounts]) => [address, amounts.map(String).sort()]));
  await ledger.verify();
}

/** What was signed last, and what the node said of it. */
function newest({ payout }: SeenWithdrawal) {
  const transaction = payout?.candidates.at(-1)?.transactions[0];
  if (!transaction) throw new Error('nothing is signed');
  return transaction;
}

/** Forms of each candidate, in their order: what the node said of it. */
const answered = (...answers: unknown[]) => ({
  payout: { candidates: answers.map((answer) => ({ transactions: [{ answer }] })) },
});

const mempool = (): Promise<string[]> => ledger.node().call<string[]>('getrawmempool');

async function signByHand(payoutId: string, signer: IndependentSigner): Promise<string> {
  const path = `/v1/payouts/${payoutId}/psbt`;
  const response = await fetch(ledger.url + path);
  if (response.status !== 200) throw new Error(`no PSBT: ${response.status} ${await response.text()}`);
  return signer.sign(await response.text());
}

async function bringBack(payoutId: string, signed: string): Promise<void> {
  const response = await fetch(`${ledger.url}/v1/payouts/${payoutId}/psbt`, {
    method: 'POST',
    headers: { 'content-type': 'text/plain', 'idempotency-key': `signed ${++keysUsed}` },
    body: signed,
  });
  expect([response.status, await response.json()]).toMatchObject([202, { payoutId, status: 'signed' }]);
}

const bump = (withdrawalId: string, body: object = {}) => ledger.command(`/v1/withdrawals/${withdrawalId}/bump`, body);

/** So many times the fee rate of the first payment, in sat/vB: the node's estimate depends on what was mined before. */
function timesItsRate({ payout }: SeenWithdrawal, times: number): number {
  const first = payout?.candidates[0];
  if (!first) throw new Error('nothing is prepared');
  return Math.round((times * 4_000 * Number(first.feeSats)) / first.weight) / 1_000;
}

describe('withdrawals through btcd', () => {
  beforeAll(async () => {
    ledger = await startBtcdLedger({ FINALITY_DEPTH: String(FINALITY_DEPTH) });
  });
  beforeEach(() => {
    asked = new Map();
  });
  afterEach(() => ledger.proxy.setToxics());
  afterAll(() => ledger?.close());

  it('live their whole life: asked for, sent, mined, completed, buried', async () => {
    await ledger.fundedWallet('life', [COIN_SATS, COIN_SATS]);
    const twice = await withdraw('life', 'life-1', { address: newAddress('p2tr'), amountSats: 200_001n });
    await withdraw('life', 'life-2', { address: twice, amountSats: 200_002n });
    await withdraw('life', 'life-3', { address: newAddress('p2pkh'), rest: { maxFeeSats: '50000' } });
    await withdraw('life', 'life-4', { address: newAddress('p2sh-p2wpkh') });
    for (const id of ['life-1', 'life-2', 'life-3', 'life-4']) {
      const { txid } = await ledger.until(id, { status: 'broadcast', feeSats: null });
      expect(await mempool()).toContain(txid);
    }
    await ledger.generate(1);
    for (const id of ['life-1', 'life-2', 'life-3', 'life-4']) await ledger.until(id, { status: 'completed' });
    const { feeSats } = await ledger.until('life-3', { payout: { status: 'completed' } });
    expect(Number(feeSats)).toBeGreaterThan(0);
    expect(Number(feeSats)).toBeLessThanOrEqual(50_000);
    expect(await ledger.withdrawal('life-1')).toMatchObject({ feeSats: '0' });
    await ledger.generate(FINALITY_DEPTH - 1);
    await ledger.until('life-1', { status: 'completed', payout: { status: 'final' } });
    const { body } = await ledger.client.get('/v1/accounts/life');
    expect(body).toMatchObject({
      availableSats: (2n * COIN_SATS - 200_001n - 200_002n - 600_000n - BigInt(feeSats ?? 0)).toString(),
      reservedSats: '0',
    });
    await expectPaidOnce();
  });

  it.each(SCRIPT_KINDS)('of a wallet of %s are taken by the node as another wallet signed them', async (kind) => {
    const signer = createIndependentSigner(kind, 51);
    const name = `by-hand-${kind}`;
    await ledger.fundedWallet(name, [400_000n, 400_000n, 400_000n], { signer: 'none', descriptor: signer.descriptor });
    // More than two coins have: three inputs, and change.
    await withdraw(name, name, { amountSats: 900_000n });
    const { payoutId } = await ledger.until(name, { status: 'prepared' });
    await bringBack(String(payoutId), await signByHand(String(payoutId), signer));
    const sent = await ledger.until(name, { status: 'broadcast' });
    expect(newest(sent).answer).toBe('accepted');
    expect(Transaction.fromHex(newest(sent).raw).ins).toHaveLength(3);
    const known = await ledger.node().call<string>('getrawtransaction', sent.txid);
    expect(known).toBe(newest(sent).raw);
    await ledger.generate(1);
    await ledger.until(name, { status: 'completed' });
    await expectPaidOnce();
  });

  it('are replaced by what pays more: the node takes it, and mines it', async () => {
    await ledger.fundedWallet('bump', [COIN_SATS]);
    await withdraw('bump', 'bump');
    const first = await ledger.until('bump', { status: 'broadcast' });
    await bump('bump', { feeRateSatsPerVbyte: timesItsRate(first, 2) });
    const second = await ledger.until('bump', answered(ANY, 'accepted'));
    expect(await mempool()).toContain(newest(second).txid);
    expect(await mempool()).not.toContain(first.txid);
    await ledger.generate(1);
    await ledger.until('bump', { status: 'completed', txid: newest(second).txid });
    await expectPaidOnce();
  });

  it('are replaced when nobody says by how much', async () => {
    await ledger.fundedWallet('raise', [COIN_SATS]);
    await withdraw('raise', 'raise');
    const first = await ledger.until('raise', { status: 'broadcast' });
    await bump('raise');
    const second = await ledger.until('raise', answered(ANY, 'accepted'));
    expect(await mempool()).toContain(newest(second).txid);
    expect(await mempool()).not.toContain(first.txid);
    await ledger.generate(1);
    await ledger.until('raise', { status: 'completed', txid: newest(second).txid });
    await expectPaidOnce();
  });

  it('are not replaced by what pays too little: the bump is refused, and the payment goes on', async () => {
    await ledger.fundedWallet('little', [COIN_SATS]);
    await withdraw('little', 'little');
    const first = await ledger.until('little', { status: 'broadcast' });
    await bump('little', { feeRateSatsPerVbyte: timesItsRate(first, 1.01) });
    const { payout } = await ledger.until('little', { payout: { bumpPending: false, bumpRefused: 'fee-too-low' } });
    expect(payout?.bumpRefusedDetail).toMatch(/\d/);
    expect(await mempool()).toContain(first.txid);
    await ledger.generate(1);
    await ledger.until('little', { status: 'completed', txid: first.txid });
    await expectPaidOnce();
  });

  it('say that the node has refused a replacement, and are paid for by a child then', async () => {
    await ledger.fundedWallet('pinned', [COIN_SATS]);
    const address = await withdraw('pinned', 'pinned');
    const first = await ledger.until('pinned', { status: 'broadcast' });
    // The recipient spends what is not confirmed yet at a high fee: a replacement would have to pay for that too (BIP125, rule 3).
    const raw = Transaction.fromHex(newest(first).raw);
    const vout = raw.outs.findIndex(({ value }) => value === 300_000n);
    const index = addressesUsed;
    const coin = { type: 'p2wpkh' as const, index, txid: raw.getId(), vout, amountSats: 300_000n };
    expect(recipients.addressOf('p2wpkh', index)).toBe(address);
    const child = recipients.spend(
      [{ ...coin, rawParent: raw.toBuffer() }],
      [{ address: ledger.bank.addressOf('p2wpkh', 2), amountSats: 250_000n }],
    );
    await ledger.node().call('sendrawtransaction', child);
    await bump('pinned', { feeRateSatsPerVbyte: timesItsRate(first, 2) });
    await ledger.until('pinned', { payout: { bumpRefused: 'refused-by-node' } });
    await ledger.until('pinned', answered(ANY, REFUSED));
    expect(await mempool()).toContain(first.txid);
    await bump('pinned', { feeRateSatsPerVbyte: timesItsRate(first, 3) });
    const raised = await ledger.until('pinned', answered(ANY, REFUSED, 'accepted'));
    expect(raised.payout?.candidates[2]?.kind).toBe('child');
    expect(await mempool()).toEqual(expect.arrayContaining([first.txid, newest(raised).txid]));
    await ledger.generate(1);
    await ledger.until('pinned', { status: 'completed', txid: first.txid });
    await expectPaidOnce();
  });

  it('go back to broadcast when their block is invalid, and are completed by another', async () => {
    await ledger.fundedWallet('reorg', [COIN_SATS]);
    await withdraw('reorg', 'reorg');
    await ledger.until('reorg', { status: 'broadcast' });
    const [hash] = await ledger.generate(1);
    const before = await ledger.until('reorg', { status: 'completed' });
    await ledger.node().call('invalidateblock', hash);
    // A branch of the same length without the payment: only blocks with more work take blocks off.
    await ledger.mineOnly([]);
    await ledger.mineOnly([]);
    await ledger.until('reorg', { status: 'broadcast' });
    expect(await mempool()).toContain(before.txid);
    await ledger.generate(1);
    await ledger.until('reorg', { status: 'completed', txid: before.txid });
    await expectPaidOnce();
  });

  it('are completed by the original where a miner takes that, though the node has the replacement', async () => {
    await ledger.fundedWallet('original', [COIN_SATS]);
    await withdraw('original', 'original');
    const first = await ledger.until('original', { status: 'broadcast' });
    await bump('original', { feeRateSatsPerVbyte: timesItsRate(first, 2) });
    const second = await ledger.until('original', answered(ANY, 'accepted'));
    const hash = await ledger.mineOnly([newest(first).raw]);
    await ledger.until('original', { status: 'completed', txid: first.txid });
    expect(await mempool()).not.toContain(newest(second).txid);

    // And the other way round, on another branch.
    await ledger.node().call('invalidateblock', hash);
    await ledger.mineOnly([newest(second).raw]);
    await ledger.mineOnly([]);
    await ledger.until('original', { status: 'completed', txid: newest(second).txid });
    await ledger.generate(FINALITY_DEPTH);
    await ledger.until('original', { txid: newest(second).txid, payout: { status: 'final' } });
    await expectPaidOnce();
  });

  describe('whose coin was spent by somebody else', () => {
    /** A payment that waits for confirmation, and a transaction of the same coins by who has the keys too, mined. */
    async function robbed(name: string, seedByte: number) {
      const signer = createIndependentSigner('wpkh', seedByte);
      await ledger.fundedWallet(name, [COIN_SATS, COIN_SATS], { signer: 'none', descriptor: signer.descriptor });
      const address = await withdraw(name, name);
      const { payoutId } = await ledger.until(name, { status: 'prepared' });
      await bringBack(String(payoutId), await signByHand(String(payoutId), signer));
      const sent = await ledger.until(name, { status: 'broadcast' });
      const thief = signer.spendElsewhere(
        await (await fetch(`${ledger.url}/v1/payouts/${payoutId}/psbt`)).text(),
        ledger.bank.addressOf('p2wpkh', 3),
      );
      const byTxid = Transaction.fromHex(thief).getId();
      await ledger.mineOnly([thief]);
      await ledger.until(name, { payout: { status: 'halted', halt: { byTxid } } });
      return { payoutId: String(payoutId), byTxid, address, signer, sent };
    }

    const resolve = (payoutId: string, body: object, key: string) =>
      ledger.client.post(`/v1/payouts/${payoutId}/resolve`, body, key);

    it('stop, raise an alarm, and are paid again only when a person says so and it is buried', async () => {
      const { payoutId, byTxid, signer } = await robbed('robbed', 61);
      expect(await ledger.health()).toMatchObject({ status: 503 });
      expect(JSON.stringify((await ledger.health()).body)).toContain(payoutId);
      const ledgerNow = await ledger.client.graphql<{ ledger: Record<string, string> }>(
        '{ ledger { suspenseSats differenceSats } }',
      );
      expect(ledgerNow.ledger).toEqual({
        suspenseSats: expect.not.stringMatching(/^0$/) as string,
        differenceSats: '0',
      });

      const tooEarly = await resolve(payoutId, { outcome: 'pay-again', byTxid }, 'too early');
      expect(tooEarly).toMatchObject({ status: 409, body: { code: 'payout-not-resolvable' } });
      expect(tooEarly.body['detail']).toMatch(new RegExp(`1 confirmation.*${FINALITY_DEPTH}`));
      await ledger.generate(FINALITY_DEPTH - 1);
      const untrue = await resolve(payoutId, { outcome: 'paid', byTxid }, 'untrue');
      expect(untrue).toMatchObject({ status: 409, body: { code: 'payout-not-resolvable' } });
      await expect
        .poll(
          async () => (await resolve(payoutId, { outcome: 'pay-again', byTxid }, `now ${Math.random()}`)).status,
          SOON,
        )
        .toBe(202);

      const again = await ledger.until('robbed', { status: 'prepared', payout: { halt: null } });
      await bringBack(payoutId, await signByHand(payoutId, signer));
      const sent = await ledger.until('robbed', { status: 'broadcast' });
      expect(sent.payoutId).toBe(again.payoutId);
      expect((await ledger.health()).status).toBe(200);
      await ledger.generate(FINALITY_DEPTH);
      await ledger.until('robbed', { status: 'completed', payout: { status: 'final' } });
      await expectPaidOnce();
    });

    it('go on by themselves when that block is taken off', async () => {
      const { sent, byTxid } = await robbed('robbed-not', 62);
      const theirs = await ledger.node().call<string>('getbestblockhash');
      await ledger.node().call('invalidateblock', theirs);
      await ledger.mineOnly([newest(sent).raw]);
      await ledger.mineOnly([]);
      await ledger.until('robbed-not', { status: 'completed', txid: sent.txid, payout: { halt: null } });
      expect(await mempool()).not.toContain(byTxid);
      await expectPaidOnce();
    });

    it('give the money back where a person gives up', async () => {
      const { payoutId, byTxid, address } = await robbed('robbed-given-up', 63);
      await ledger.generate(FINALITY_DEPTH);
      await expect
        .poll(async () => (await resolve(payoutId, { outcome: 'give-up', byTxid }, `up ${Math.random()}`)).status, SOON)
        .toBe(202);
      await ledger.until('robbed-given-up', { status: 'failed' });
      const account = async () => (await ledger.client.get('/v1/accounts/robbed-given-up')).body;
      await expect.poll(account, SOON).toMatchObject({ availableSats: (2n * COIN_SATS).toString(), reservedSats: '0' });
      asked.set(address, []);
      await expectPaidOnce();
    });
  });

  it('are sent again byte for byte when the node has them and its answer was lost', async () => {
    const signer = createIndependentSigner('tr', 71);
    await ledger.fundedWallet('lost', [COIN_SATS], { signer: 'none', descriptor: signer.descriptor });
    await withdraw('lost', 'lost');
    const { payoutId } = await ledger.until('lost', { status: 'prepared' });
    const signed = await signByHand(String(payoutId), signer);
    await ledger.proxy.setToxics({ type: 'limit_data', stream: 'downstream', attributes: { bytes: 0 } });
    await bringBack(String(payoutId), signed);
    const unsure = await ledger.until('lost', answered('unknown'));
    await expect.poll(mempool, SOON).toContain(newest(unsure).txid);
    expect(unsure.status).toBe('signed');
    await ledger.proxy.setToxics();
    const known = await ledger.until('lost', { status: 'broadcast', ...answered('already-known') });
    expect(newest(known)).toMatchObject({ txid: newest(unsure).txid, raw: newest(unsure).raw });
    await ledger.generate(1);
    await ledger.until('lost', { status: 'completed', candidates: [newest(unsure).txid] });
    await expectPaidOnce();
  });

  it('are sent again byte for byte to a node that was killed when it had just taken them, and forgot them', async () => {
    const signer = createIndependentSigner('wpkh', 72);
    await ledger.fundedWallet('killed', [COIN_SATS], { signer: 'none', descriptor: signer.descriptor });
    await withdraw('killed', 'killed');
    const { payoutId } = await ledger.until('killed', { status: 'prepared' });
    const signed = await signByHand(String(payoutId), signer);
    await ledger.proxy.setToxics({ type: 'limit_data', stream: 'downstream', attributes: { bytes: 0 } });
    await bringBack(String(payoutId), signed);
    const unsure = await ledger.until('killed', answered('unknown'));
    await expect.poll(mempool, SOON).toContain(newest(unsure).txid);
    await ledger.restartNode();
    expect(await mempool()).toEqual([]);
    await ledger.proxy.setToxics();
    await expect.poll(mempool, SOON).toEqual([newest(unsure).txid]);
    await ledger.generate(1);
    await ledger.until('killed', { status: 'completed', candidates: [newest(unsure).txid] });
    await expectPaidOnce();
  });
});
