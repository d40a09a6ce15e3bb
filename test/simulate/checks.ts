import type pg from 'pg';
import { outpointsOf } from '../../src/domain/payout/payout-candidates.js';
import { quoted, readSchema } from '../../src/projections/tables/identifiers.js';
import type { AuditedPayout } from './auditor.js';
import type { Simulation } from './simulation.js';
import { ACCOUNTS, POLICY, WALLETS } from './scenario.js';

/** Looks at everything that must hold at every quiet moment. Answers what does not. */
export async function findProblems(simulation: Simulation, pool: pg.Pool, ledger: string): Promise<string[]> {
  const { auditor, evidence } = simulation;
  return [
    ...evidence.violations,
    ...auditor.problems,
    ...pairsWithoutCommonInput(simulation),
    ...wrongBooks(simulation),
    ...(await wrongAccounts(simulation, pool, ledger)),
    ...wrongPayments(simulation),
    ...unansweredRequests(simulation),
    ...takenCoinsWithoutAlarm(simulation),
  ];
}

/** The central promise: any two transactions signed for the same withdrawal share an input. */
function pairsWithoutCommonInput({ auditor, evidence, chain }: Simulation): string[] {
  const problems: string[] = [];
  for (const [payoutId, payout] of auditor.payouts) {
    const children = new Set(
      payout.prepared.filter(({ kind }) => kind === 'child').map(({ transaction }) => outpointsOf(transaction).join()),
    );
    // What the log says was signed, what the signer really signed, and what the node was ever sent of it.
    const recorded = payout.signed.map(({ txid, inputs, round }) => ({ txid, inputs, round }));
    const really = [...evidence.signed.values()]
      .filter((signed) => signed.payoutId === payoutId)
      .map(({ transaction: { txid, inputs } }) => ({ txid, inputs, round: roundOf(payout, inputs) }));
    const payments = [...recorded, ...really].filter(({ inputs }) => !children.has(inputs.join()));
    for (const [n, one] of payments.entries()) {
      for (const other of payments.slice(n + 1)) {
        // The one exception: a person had it pay again, after a spend that was buried.
        if (one.round !== other.round) continue;
        if (one.inputs.some((input) => other.inputs.includes(input))) continue;
        problems.push(`${one.txid} and ${other.txid} of payout ${payoutId} share no input`);
      }
    }
  }
  // Of two that share an input the chain takes one; counted, all the same.
  const seen = new Map<string, string>();
  for (const txid of chain.places.keys()) {
    for (const input of chain.known.get(txid)?.inputs ?? []) {
      const other = seen.get(input);
      if (other !== undefined) problems.push(`the simulated chain is wrong: ${txid} and ${other} spend ${input}`);
      seen.set(input, txid);
    }
  }
  return problems;
}

function roundOf({ prepared }: AuditedPayout, inputs: readonly string[]): number {
  return prepared.find(({ transaction }) => outpointsOf(transaction).join() === inputs.join())?.round ?? -1;
}

function wrongBooks({ auditor, chain, evidence, scriptsOf }: Simulation): string[] {
  const problems: string[] = [];
  const { books } = auditor;
  const scripts = new Set<string>();
  for (const walletId of WALLETS) {
    const own = scriptsOf(walletId);
    for (const script of own) scripts.add(script);
    const held = chain.unspentOf(own).reduce((sum, { amountSats }) => sum + amountSats, 0n);
    if (books.of(`wallet:${walletId}`) !== held) {
      problems.push(
        `wallet ${walletId} holds ${held} on the chain, and ${books.of(`wallet:${walletId}`)} in the books`,
      );
    }
  }
  // A signer that sends by itself sends what was prepared: ours from the first block on, where its txid was known and not void.
  const awaited = new Set(
    [...auditor.payouts.values()].flatMap(({ prepared }) =>
      prepared.filter(({ isVoid }) => !isVoid).map(({ transaction }) => transaction.txid),
    ),
  );
  // Coins that a transaction which is none of ours took: in suspense, but for what a person said was paid by it.
  let taken = 0n;
  for (const txid of chain.places.keys()) {
    if (evidence.recordedSigned.has(txid) || awaited.has(txid)) continue;
    for (const input of chain.known.get(txid)?.inputs ?? []) {
      const coin = chain.outputOf(input);
      if (coin !== undefined && scripts.has(coin.script)) taken += coin.amountSats;
    }
  }
  const explained = [...auditor.payouts.values()]
    .filter(
      ({ resolved, signed, settledTxid }) =>
        resolved?.outcome === 'paid' && settledTxid !== null && !signed.some(({ txid }) => txid === settledTxid),
    )
    .flatMap(({ started }) => started.withdrawals)
    .filter(({ withdrawalId }) => auditor.withdrawal(withdrawalId).end !== 'cancelled')
    .reduce((sum, { amountSats }) => sum + BigInt(amountSats), 0n);
  if (books.of('suspense') !== taken - explained) {
    problems.push(
      `foreign transactions took ${taken}, ${explained} of it paid, and suspense is ${books.of('suspense')}`,
    );
  }
  return problems;
}

/** Accounts as the simulator reckons them, against the read model. */
async function wrongAccounts(
  { auditor, chain, deposits }: Simulation,
  pool: pg.Pool,
  ledger: string,
): Promise<string[]> {
  const schema = quoted(readSchema(ledger));
  const { rows } = await pool.query<{
    id: string;
    matured: bigint | null;
    sent: bigint | null;
    reserved: bigint | null;
  }>(
    `SELECT a.account_id AS id, c.matured_sats AS matured, b.sent_sats AS sent, b.reserved_sats AS reserved
     FROM ${schema}.account a
     LEFT JOIN LATERAL (SELECT r.matured_sats FROM ${schema}.account_chain r
       WHERE r.account_id = a.account_id AND r.to_position = 9223372036854775807
       ORDER BY r.height DESC, r.from_position DESC LIMIT 1) c ON true
     LEFT JOIN LATERAL (SELECT r.sent_sats, r.reserved_sats FROM ${schema}.account_books r
       WHERE r.account_id = a.account_id ORDER BY r.from_position DESC LIMIT 1) b ON true`,
  );
  const problems: string[] = [];
  for (const account of ACCOUNTS) {
    const mine = [...auditor.withdrawals.values()].filter(({ requested }) => requested.accountId === account);
    const deposited = deposits
      .filter(({ accountId, transaction }) => accountId === account && chain.places.has(transaction.txid))
      .reduce((sum, { amountSats }) => sum + amountSats, 0n);
    const sent = mine
      .filter(({ end }) => end === 'settled')
      .reduce((sum, { requested, feeSats }) => sum + BigInt(requested.amountSats) + feeSats, 0n);
    const reserved = mine
      .filter(({ isOver }) => !isOver)
      .reduce((sum, { requested }) => sum + BigInt(requested.amountSats) + BigInt(requested.maxFeeSats ?? 0), 0n);
    const read = rows.find(({ id }) => id === account);
    const told = `${read?.matured ?? 0n} deposited, ${read?.sent ?? 0n} sent, ${read?.reserved ?? 0n} reserved`;
    const reckoned = `${deposited} deposited, ${sent} sent, ${reserved} reserved`;
    if (told !== reckoned) problems.push(`account ${account}: ${told}; reckoned: ${reckoned}`);
    const books = -auditor.books.of(`account:${account}`);
    if (books !== deposited - sent - reserved)
      problems.push(`account ${account} is owed ${books} in the books; reckoned: ${reckoned}`);
    if (-auditor.books.of(`reserved:${account}`) !== reserved)
      problems.push(`the books reserve another amount for ${account}: ${reckoned}`);
  }
  return problems;
}

/** Counts at the recipients, on the chain alone: nobody got twice what is owed to them once, and who is said to be paid is. */
function wrongPayments({ auditor, chain, evidence, foreign }: Simulation): string[] {
  const problems: string[] = [];
  const owed = new Map<string, { live: number; paid: number; ids: string[] }>();
  for (const [id, { requested, end, payoutId }] of auditor.withdrawals) {
    const key = `${requested.script} ${requested.amountSats}`;
    const one = owed.get(key) ?? { live: 0, paid: 0, ids: [] };
    if (end !== 'cancelled' && end !== 'failed') one.live += 1;
    const txid = payoutId === null ? null : auditor.payout(payoutId).settledTxid;
    // Settled, and what settled it or another of its payments still is as deep as that.
    const isDeep =
      payoutId !== null &&
      [txid, ...auditor.payout(payoutId).signed.map((signed) => signed.txid)].some(
        (candidate) =>
          candidate !== null && chain.confirmations(candidate) >= POLICY.completeAt && pays(chain, candidate, key),
      );
    if (end === 'settled' && isDeep) one.paid += 1;
    if (end === 'settled' && payoutId !== null && auditor.payout(payoutId).end === 'closed' && !isDeep) {
      problems.push(`${id} is over, and nothing on the chain pays it`);
    }
    one.ids.push(id);
    owed.set(key, one);
  }
  for (const script of new Set([...auditor.withdrawals.values()].map(({ requested }) => requested.script))) {
    const got = new Map<string, number>();
    for (const { amountSats, txid } of chain.paidTo(script)) {
      // A stranger may pay whom he likes, also one that was cancelled before anybody could know of it; and so may a signer that breaks
      // the rule to bring back what it signs.
      const isOwn = !foreign.has(txid) && (!evidence.sentBySigner.has(txid) || evidence.recordedSigned.has(txid));
      if (!isOwn && owed.get(`${script} ${amountSats}`)?.live === 0) continue;
      got.set(`${script} ${amountSats}`, (got.get(`${script} ${amountSats}`) ?? 0) + 1);
    }
    for (const [key, times] of got) {
      const one = owed.get(key);
      if (one === undefined) problems.push(`nobody asked for what ${key} got`);
      else if (times > one.live)
        problems.push(
          `PAID TWICE: ${key} got it ${times} times, and ${one.ids.join(', ')} ask for it ${one.live} times`,
        );
      else if (times < one.paid) problems.push(`${one.ids.join(', ')} are complete, and got it ${times} times`);
    }
  }
  return problems;
}

function pays(chain: Simulation['chain'], txid: string, key: string): boolean {
  return chain.known.get(txid)?.outputs.some(({ script, amountSats }) => `${script} ${amountSats}` === key) ?? false;
}

/** What a client was told is what is in the log. */
function unansweredRequests({ asked, auditor }: Simulation): string[] {
  const problems: string[] = [];
  for (const [id, { told, input }] of asked) {
    const recorded = auditor.withdrawals.get(id)?.requested;
    if (told?.kind === 'done' && recorded === undefined) problems.push(`${id} was accepted, and is not in the log`);
    if (told?.kind === 'rejected' && recorded !== undefined && recorded.amountSats === input.amountSats.toString()) {
      problems.push(`${id} was rejected, and is in the log`);
    }
  }
  return problems;
}

/** A payout none of whose payments can confirm on this branch says so. Only after a rest: before, it may not have looked. */
function takenCoinsWithoutAlarm({ auditor, chain, isAtRest }: Simulation): string[] {
  if (!isAtRest) return [];
  return [...auditor.payouts].flatMap(([payoutId, payout]) => {
    if (payout.end !== null || (payout.resolved !== null && payout.resolved.outcome !== 'pay-again')) return [];
    const payments = payout.prepared.filter(({ round, kind }) => round === payout.round && kind === 'payment');
    const [first] = payments;
    if (first === undefined) return [];
    const own = new Set(payout.signed.map(({ txid }) => txid));
    const taken = outpointsOf(first.transaction).some((outpoint) => {
      const spend = chain.spendOf(outpoint);
      return spend !== undefined && !own.has(spend.txid);
    });
    if (taken && payout.halted === null)
      return [`payout ${payoutId} lost a coin to another transaction, and nobody is told`];
    // Or a coin that a reorg has unmade: another spends what its transaction was made of.
    const isUnmade = outpointsOf(first.transaction).some((outpoint) => {
      const made = chain.known.get(outpoint.slice(0, 64));
      if (made === undefined || chain.places.has(made.txid)) return false;
      return made.inputs.some((input) => chain.spendOf(input) !== undefined);
    });
    if (!taken && !isUnmade && payout.halted !== null) return [`payout ${payoutId} is halted, and its coins are there`];
    return [];
  });
}
