import type { FundsReserved } from '../../src/domain/events/withdrawal-events.js';
import type { PaidWithdrawal } from '../../src/domain/events/payout-events.js';
import { isRejection } from '../../src/domain/rejection.js';
import type { LedgerCommands } from '../../src/command/ledger-commands.js';
import { withdrawalEventId } from '../../src/domain/new-event.js';
import { hashOf, planOf, prepared, signedForm, startedWith } from './payout-cases.js';
import type { CommandServer } from './command-server.js';

export interface ToldPayout {
  /** Of what `sign` signs. */
  txid: string;
  prepare(): Promise<void>;
  sign(): Promise<void>;
  /** Whether the signature came before whatever else was asked at the same time. */
  trySign(): Promise<boolean>;
}

/** Starts a payout of withdrawals that were asked for and gives them to it, as the workflow does. Its coins are made up. */
export async function tellPayout(
  commands: LedgerCommands,
  server: CommandServer,
  { payoutId, walletId, ids }: { payoutId: string; walletId: string; ids: readonly string[] },
): Promise<ToldPayout> {
  const withdrawals = await Promise.all(ids.map((id) => requestedIn(server, id)));
  const coin = 100_000 + Number(await server.outbox.head());
  const plan = planOf([coin], withdrawals, { fee: 300n });
  const txid = hashOf(1_000_000_000 + coin);
  const form = { ...signedForm(0, plan, txid), payoutId };
  await told(commands.startPayout(startedWith(withdrawals, { payoutId, walletId })));
  for (const withdrawalId of ids) await told(commands.assignWithdrawal({ withdrawalId, payoutId }));
  await told(
    commands.reserveCoins({
      walletId,
      payoutId,
      coins: [{ outpoint: `${hashOf(coin)}:0`, amountSats: 100_000n }],
      change: null,
    }),
  );
  return {
    txid,
    prepare: () => told(commands.prepareCandidate({ ...prepared(0, plan), payoutId })),
    sign: () => told(commands.recordSigned(form)),
    trySign: async () => !isRejection(await commands.recordSigned(form)),
  };
}

async function requestedIn(server: CommandServer, withdrawalId: string): Promise<PaidWithdrawal> {
  const { rows } = await server.database.pool.query<{ data: FundsReserved }>('SELECT data FROM outbox WHERE id = $1', [
    withdrawalEventId('main', withdrawalId),
  ]);
  const data = rows[0]?.data;
  if (data === undefined) throw new Error(`withdrawal ${withdrawalId} was not asked for`);
  const { accountId, address, script, amountSats, maxFeeSats } = data;
  return { withdrawalId, accountId, address, script, amountSats, maxFeeSats };
}

async function told(telling: Promise<object>): Promise<void> {
  const answer = await telling;
  if (isRejection(answer)) throw new Error(answer.detail);
}
