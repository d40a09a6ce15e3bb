import { Body, Controller, HttpCode, Module, Post } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { z } from 'zod';
import { migrate } from '../src/platform/postgres/migrate.js';
import { appRole, createPool } from '../src/platform/postgres/pool.js';
import { createLedgerClient } from '../test/support/ledger-client.js';
import { startCommandServer } from '../test/support/command-server.js';
import { startTemporaryPostgres } from '../test/support/postgres-server.js';
import type { BenchRow } from './bench-row.js';
import { caughtUp, median, openAccounts, runClients, thousands, type Measured } from './http.js';

const GOAL = 0.5;

/** What is asked of the framework alone: the same checks of the same fields. */
const withdrawal = z.strictObject({
  accountId: z.string().regex(/^[A-Za-z0-9_.:-]{1,64}$/),
  address: z.string().min(1).max(128),
  amountSats: z.string().regex(/^[1-9]\d{0,15}$/),
  maxFeeSats: z
    .string()
    .regex(/^[1-9]\d{0,15}$/)
    .optional(),
});

@Controller()
class BareController {
  @Post('/v1/withdrawals')
  @HttpCode(202)
  request(@Body() body: unknown): object {
    withdrawal.parse(body);
    return { withdrawalId: '27a714ea-93f7-8696-9cbc-4c46cce45c3e', status: 'requested', position: '123456' };
  }
}

@Module({ controllers: [BareController] })
class BareModule {}

/**
 * Withdrawals asked for over HTTP from another process, 200 clients over 10,000 accounts: parsing, validation, the address, the wallet, the
 * look-up of funds in the read models, the decision, the durable reservation; the read models follow in the same process. Against
 * the bare framework (Nest on Fastify, zod) that checks the same fields and answers with a constant, in the same run.
 */
export async function runWithdrawBench({ quick }: { quick: boolean }): Promise<BenchRow[]> {
  const requests = quick ? 2_000 : 20_000;
  const rounds = quick ? 3 : 5;
  const postgres = await startTemporaryPostgres([]);
  try {
    await migrate(postgres.url);
    const owner = createPool(postgres.url, { max: 1 });
    const pool = createPool(postgres.url, { max: 20, role: await appRole(owner) });
    const rules = { maxSats: 2_100_000_000_000_000n, defaultWalletId: 'hot', maxFeeRateSatsPerVbyte: 500 };
    const server = await startCommandServer({ database: { pool }, rules });
    const bare = await NestFactory.create<NestFastifyApplication>(BareModule, new FastifyAdapter(), { logger: false });
    try {
      await bare.listen(0, '127.0.0.1');
      const bareUrl = await bare.getUrl();
      await openAccounts(server.store);
      await caughtUp(pool);
      const created = await createLedgerClient(server.url).post(
        '/v1/wallets',
        { walletId: 'hot', signer: 'local' },
        'w',
      );
      if (created.status !== 201) throw new Error(`no wallet: ${JSON.stringify(created.body)}`);
      const ask = (url: string): Promise<Measured> =>
        runClients(url, { requests, question: 'withdrawals', status: '202' });
      await ask(server.url);
      await caughtUp(pool);
      await ask(bareUrl);
      const ours: Measured[] = [];
      const theirs: Measured[] = [];
      for (let round = 0; round < rounds; round++) {
        ours.push(await ask(server.url));
        // The framework alone, without what follows from our round.
        await caughtUp(pool);
        theirs.push(await ask(bareUrl));
      }
      return [row(ours, theirs, requests)];
    } finally {
      await bare.close();
      await server.close();
      await pool.end();
      await owner.end();
    }
  } finally {
    await postgres.stop();
  }
}

function row(ours: readonly Measured[], theirs: readonly Measured[], requests: number): BenchRow {
  const rate = ({ seconds }: Measured): number => requests / seconds;
  const ratio = median(ours.map((measured, round) => rate(measured) / rate(theirs[round] ?? measured)));
  const at = (which: 'p50' | 'p99'): string => median(ours.map(({ latenciesMs }) => latenciesMs[which])).toFixed(1);
  return {
    bench: 'withdraw',
    measure: 'accepted withdrawals/s over HTTP, 200 clients, 10,000 accounts',
    value: `${thousands(median(ours.map(rate)))}/s`,
    reference: `${thousands(median(theirs.map(rate)))}/s constants from the bare framework`,
    ratio,
    goal: `≥ ${GOAL}`,
    met: ratio >= GOAL,
    note: `p50 ${at('p50')} ms, p99 ${at('p99')} ms; median of ${ours.length} interleaved rounds of ${requests}; clients in another process, read models following`,
  };
}
