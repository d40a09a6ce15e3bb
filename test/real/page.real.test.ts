import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import * as told from '../support/payout-events.js';
import { startQueryServer, type QueryServer } from '../support/query-server.js';
import {
  accountOpened,
  blockConnected,
  blockDisconnected,
  chainOpened,
  deposit,
  hashNamed,
  transferSent,
  walletCreated,
} from '../support/small-histories.js';

const CHROMIUM = process.env['TALLYSTICK_CHROMIUM'] ?? '/usr/bin/chromium';
/** Where the pictures go, for people to look at; nowhere unless it is set. */
const PICTURES = process.env['TALLYSTICK_PICTURES'];

let database: TestDatabase;
let server: QueryServer;
let browser: Browser;

beforeAll(async () => {
  database = await createTestDatabase();
  server = await startQueryServer({ database });
  browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox'] });
});

afterAll(async () => {
  await browser?.close();
  await server?.close();
  await database?.drop();
});

/** A page that fails the test on any error of a script, any refused resource, and any request to elsewhere. */
async function openPage(url: string, scheme: 'light' | 'dark' = 'light'): Promise<{ page: Page; troubles: string[] }> {
  const page = await browser.newPage({ colorScheme: scheme, viewport: { width: 1280, height: 1000 } });
  const troubles: string[] = [];
  page.on('pageerror', (error) => troubles.push(`script: ${error.message}`));
  page.on('console', (message) => {
    if (message.type() === 'error') troubles.push(`console: ${message.text()}`);
  });
  page.on('request', (request) => {
    const elsewhere = !request.url().startsWith(server.url) && !/^(data|blob):/.test(request.url());
    if (elsewhere) troubles.push(`request to ${request.url()}`);
  });
  await page.goto(url);
  return { page, troubles };
}

async function picture(page: Page, name: string): Promise<void> {
  if (PICTURES === undefined) return;
  mkdirSync(PICTURES, { recursive: true });
  await page.screenshot({ path: join(PICTURES, `${name}.png`), fullPage: true });
}

describe('the page at /', () => {
  it('says what to do next on an empty ledger, then shows a deposit, a reorg and a halted model live', async () => {
    const { page, troubles } = await openPage(`${server.url}/`);
    await page.getByText('No accounts yet').waitFor();
    await expect.poll(() => page.locator('#connection').textContent()).toBe('live');
    await picture(page, 'empty');

    await server.tell([...chainOpened(1), accountOpened('alice'), accountOpened('bob'), walletCreated('w')]);
    await page.getByRole('cell', { name: 'alice' }).waitFor();
    await server.tell([
      blockConnected(1, '1', '0', deposit('first', 'alice', 150_000_000)),
      transferSent('t1', 'alice', 'bob', 50_000_000),
    ]);
    const alice = page.locator('#accounts tr', { hasText: 'alice' });
    await expect.poll(() => alice.textContent()).toContain('1.00000000 BTC');
    await expect.poll(() => page.locator('#customers').textContent()).toBe('1.50000000 BTC');
    await expect.poll(() => page.locator('#tip').textContent()).toBe('block 1');
    await expect.poll(() => page.locator('#verdict-note').textContent()).toBe('books and chain agree');
    await expect.poll(() => page.locator('#transfers').textContent()).toContain('confirmed');

    await server.tell([
      blockDisconnected(1, '1', '0', 2),
      blockConnected(1, '1b', '0'),
      blockConnected(2, '2b', '1b', deposit('second', 'bob', 3_000)),
    ]);
    await expect.poll(() => page.locator('#transfers').textContent()).toContain('orphaned');
    await expect.poll(() => alice.textContent()).toContain('frozen');
    await expect.poll(() => page.locator('#reorgs tbody tr').count()).toBe(1);
    await picture(page, 'filled');

    expect(troubles).toEqual([]);
    await page.close();
  });

  it('shows withdrawals and payouts, and raises the alarm for one that is halted', async () => {
    const other = await startQueryServer({ database, ledger: 'payments' });
    try {
      const { page, troubles } = await openPage(`${other.url}/`);
      const asked = { id: 'rent', account: 'alice', amount: 40_000 };
      const payment: told.Payment = {
        payoutId: 'p1',
        candidate: 0,
        txid: hashNamed('payment'),
        inputs: [told.coinNamed('c', 100_000)],
        pays: [asked],
        change: 59_500,
        fee: 500,
      };
      await other.tell([
        ...chainOpened(1),
        accountOpened('alice'),
        walletCreated('w'),
        blockConnected(1, '1', '0', deposit('c', 'alice', 100_000)),
        told.fundsReserved(asked),
        told.payoutStarted('p1', [asked], { completeAt: 1, finalAt: 6 }),
        told.coinsReserved('p1', payment.inputs),
        told.candidatePrepared(payment),
        told.candidateSigned(payment),
      ]);
      await expect.poll(() => page.locator('#withdrawals').textContent()).toContain('signed');
      await expect.poll(() => page.locator('#alarms').textContent()).toContain('Overdue withdrawals: rent');
      const theft = { ...payment, txid: hashNamed('theft'), pays: [], change: 0 };
      await other.tell([
        blockConnected(2, '2', '1', told.minedPayment(theft, false)),
        told.payoutHalted('p1', payment.inputs[0]?.outpoint ?? '', theft.txid, hashNamed('block 2'), 2),
      ]);
      await expect.poll(() => page.locator('#payouts').textContent()).toContain('halted');
      await expect.poll(() => page.locator('#alarms').textContent()).toContain(`${theft.txid} spent its coin`);
      await picture(page, 'payments');
      // Requests to this server are to elsewhere only for the one that the others use.
      expect(troubles.filter((trouble) => trouble.startsWith('script'))).toEqual([]);
      await page.close();
    } finally {
      await other.close();
    }
  });

  it('says which read model has halted and why, as text', async () => {
    const other = await startQueryServer({ database, ledger: 'poisoned' });
    try {
      const page = await browser.newPage();
      await page.goto(`${other.url}/`);
      const [opened, ...policy] = chainOpened(1);
      expect(policy.length).toBe(1);
      if (opened === undefined) throw new Error('no chain');
      // A deposit before any deposit policy: the accounts cannot say when it becomes available.
      const poison = [
        opened,
        accountOpened('eve'),
        walletCreated('w'),
        blockConnected(1, '1', '0', deposit('x', 'eve', 1)),
      ];
      await expect(other.tell(poison)).rejects.toThrow('halted');
      await expect.poll(() => page.locator('#alarms').textContent()).toContain('accounts halted before position 4');
      await database.ownerPool.query(
        `UPDATE projection_checkpoint SET reason = '<img src=x onerror=alert(1)>' WHERE ledger = 'poisoned' AND name = 'accounts'`,
      );
      await expect(other.tell([accountOpened('fred')])).rejects.toThrow('halted');
      await expect.poll(() => page.locator('#alarms').textContent()).toContain('<img src=x onerror=alert(1)>');
      expect(await page.locator('#alarms img').count()).toBe(0);
      await page.close();
    } finally {
      await other.close();
    }
  });

  it('is readable in the dark', async () => {
    const { page, troubles } = await openPage(`${server.url}/`, 'dark');
    await page.getByRole('cell', { name: 'bob' }).first().waitFor();
    const background = await page.evaluate('getComputedStyle(document.documentElement).backgroundColor');
    expect(background).toBe('rgb(24, 22, 19)');
    await picture(page, 'dark');
    expect(troubles).toEqual([]);
    await page.close();
  });

  it('connects again after the connection was lost', async () => {
    const page = await browser.newPage();
    const sockets: { close(options: { code: number }): Promise<void> }[] = [];
    await page.routeWebSocket('**/graphql', (socket) => {
      sockets.push(socket);
      socket.connectToServer();
    });
    await page.goto(`${server.url}/`);
    await expect.poll(() => page.locator('#connection').textContent()).toBe('live');
    await sockets[0]?.close({ code: 1011 });
    await expect.poll(() => sockets.length).toBe(2);
    await server.tell([accountOpened('dora')]);
    await page.getByRole('cell', { name: 'dora' }).waitFor();
    await page.close();
  });

  it('asks for the API key where one is needed', async () => {
    const keyed = await startQueryServer({ database, apiKeys: ['secret-key-1'] });
    try {
      const page = await browser.newPage();
      await page.goto(`${keyed.url}/`);
      await page.locator('#key-form').waitFor({ state: 'visible' });
      expect(await page.locator('#accounts').textContent()).toBe('');
      await page.locator('#key').fill('secret-key-1');
      await page.getByRole('button', { name: 'Use it' }).click();
      await page.getByRole('cell', { name: 'bob' }).first().waitFor();
      expect(await page.locator('#key-form').isVisible()).toBe(false);
      await page.close();
    } finally {
      await keyed.close();
    }
  });
});

describe('GraphiQL', () => {
  it('runs queries and subscriptions, from our own files alone', async () => {
    const { page, troubles } = await openPage(`${server.url}/graphiql`);
    await page.locator('.graphiql-execute-button').waitFor();
    await page.locator('.graphiql-execute-button').click();
    const result = page.locator('.result-window');
    await expect.poll(() => result.textContent()).toContain('"customersSats"');
    await picture(page, 'graphiql');

    const editor = page.locator('.graphiql-query-editor .CodeMirror');
    await editor.click();
    await page.keyboard.press('Control+A');
    await page.keyboard.insertText('subscription { ledger { position } }');
    await page.locator('.graphiql-execute-button').click();
    const before = await server.outbox.head();
    await expect.poll(() => result.textContent()).toContain(`"position": "${before}"`);
    await server.tell([accountOpened('erin')]);
    await expect.poll(() => result.textContent()).toContain(`"position": "${before + 1n}"`);
    expect(troubles).toEqual([]);
    await page.close();
  });
});
