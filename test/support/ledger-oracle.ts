import type { Found } from '../../src/domain/events/chain-events.js';
import type { ToldEvent } from './ledger-log.js';

/**
 * What the read models must say, written straight from the definitions: it keeps the whole past as a list of events and the
 * chain as a list of blocks, and computes every answer anew. Slow, and on purpose nothing like the projections.
 */
export interface OracleState {
  tip: { height: number; hash: string } | null;
  /** Connected blocks, the first after the start first. */
  chain: { hash: string; height: number; found: Found }[];
  incoming: Incoming[];
  transfers: { from: string; to: string; amount: bigint; height: number }[];
  accounts: string[];
  scripts: Map<string, { wallet: string; account: string | null }>;
  /** Every block that was ever connected, in that order. */
  everConnected: { hash: string; height: number; found: Found }[];
  reorgs: { start: number; fork: number; disconnected: string[]; connected: string[] }[];
  entries: {
    account: string;
    position: number;
    type: string;
    amount: bigint;
    reference: string;
    balance: bigint;
    hash: string | null;
  }[];
}

interface Incoming {
  owner: string;
  /** Deposit to an account, or coinbase to a wallet. */
  of: 'account' | 'wallet';
  amount: bigint;
  height: number;
  coinbase: boolean;
  due: number;
}

interface Policy {
  deposit: number;
  coinbase: number;
}

/** The state after the first `position` events. */
export function oracleAt(events: readonly ToldEvent[], position: number): OracleState {
  const state: OracleState = {
    tip: null,
    chain: [],
    incoming: [],
    transfers: [],
    accounts: [],
    scripts: new Map(),
    everConnected: [],
    reorgs: [],
    entries: [],
  };
  let policy: Policy = { deposit: 1, coinbase: 100 };
  let parts: Found[] = [];
  let lastWasDisconnect = false;
  let openReorg: OracleState['reorgs'][number] | undefined;
  const need = ({ of, coinbase }: Incoming): number =>
    of === 'wallet' ? policy.coinbase : coinbase ? Math.max(policy.deposit, policy.coinbase) : policy.deposit;
  const reconsider = (floor: number, isPending: (item: Incoming) => boolean): void => {
    for (const item of state.incoming) if (isPending(item)) item.due = Math.max(floor, item.height + need(item) - 1);
  };
  const balance = (account: string): bigint => {
    const { deposited, received, sent } = accountAt(state, account, Infinity);
    return deposited + received - sent;
  };

  events.slice(0, position).forEach((event, index) => {
    const at = index + 1;
    const tipHeight = state.tip?.height ?? -1;
    switch (event.type) {
      case 'AccountOpened':
        state.accounts.push(event.data.accountId);
        return;
      case 'WalletCreated':
        return;
      case 'AddressIssued':
      case 'ScriptWatched': {
        const { script, walletId, accountId } = event.data;
        if (!state.scripts.has(script)) state.scripts.set(script, { wallet: walletId, account: accountId });
        return;
      }
      case 'TransferSent': {
        const { fromAccountId: from, toAccountId: to, transferId: reference } = event.data;
        const amount = BigInt(event.data.amountSats);
        state.transfers.push({ from, to, amount, height: tipHeight });
        const common = { position: at, reference, hash: null };
        state.entries.push({
          ...common,
          account: from,
          type: 'transfer-sent',
          amount: -amount,
          balance: balance(from),
        });
        state.entries.push({ ...common, account: to, type: 'transfer-received', amount, balance: balance(to) });
        return;
      }
      case 'ChainOpened':
        state.tip = { height: event.data.height, hash: event.data.hash };
        return;
      case 'DepositPolicySet':
        policy = { deposit: event.data.depositConfirmations, coinbase: event.data.coinbaseMaturity };
        reconsider(tipHeight, ({ due }) => due > tipHeight);
        return;
      case 'TransfersFound':
        if (event.data.part === 0) parts = [];
        parts.push(event.data.found);
        return;
      case 'BlockConnected': {
        const { hash, height } = event.data;
        const all = [...parts.slice(parts.length - event.data.parts), event.data.found];
        if (event.data.parts === 0) all.splice(0, all.length - 1);
        parts = [];
        const found: Found = {
          received: all.flatMap(({ received }) => received),
          spent: all.flatMap(({ spent }) => spent),
          funding: all.flatMap(({ funding }) => funding),
          conflicts: all.flatMap(({ conflicts }) => conflicts),
        };
        state.chain.push({ hash, height, found });
        state.everConnected.push({ hash, height, found });
        state.tip = { height, hash };
        for (const { accountId, walletId, amountSats, coinbase, txid, vout } of found.received) {
          const amount = BigInt(amountSats);
          const add = (owner: string, of: 'account' | 'wallet'): void => {
            const item = { owner, of, amount, height, coinbase, due: 0 };
            item.due = height + need(item) - 1;
            state.incoming.push(item);
          };
          if (coinbase) add(walletId, 'wallet');
          if (accountId === null) continue;
          add(accountId, 'account');
          const reference = `${txid}:${vout}`;
          const sum = balance(accountId);
          state.entries.push({
            account: accountId,
            position: at,
            type: 'deposit',
            amount,
            reference,
            balance: sum,
            hash,
          });
        }
        lastWasDisconnect = false;
        if (openReorg !== undefined) {
          openReorg.connected.push(hash);
          // All blocks have the same work here.
          if (openReorg.connected.length > openReorg.disconnected.length) openReorg = undefined;
        }
        return;
      }
      case 'BlockDisconnected': {
        const { hash, height, prevHash } = event.data;
        const block = state.chain.pop();
        if (block?.hash !== hash) throw new Error(`oracle: ${hash} is not the tip`);
        state.tip = { height: height - 1, hash: prevHash };
        for (const { accountId, amountSats, txid, vout } of block.found.received) {
          if (accountId === null) continue;
          const amount = -BigInt(amountSats);
          const gone = state.incoming.findIndex(
            (item) =>
              item.of === 'account' && item.height === height && item.owner === accountId && item.amount === -amount,
          );
          state.incoming.splice(gone, 1);
          const reference = `${txid}:${vout}`;
          const sum = balance(accountId);
          const entry = { account: accountId, position: at, type: 'deposit-reversed', amount, reference, balance: sum };
          state.entries.push({ ...entry, hash });
        }
        state.incoming = state.incoming.filter((item) => item.height !== height);
        reconsider(height - 1, ({ due }) => due >= height);
        if (!lastWasDisconnect || openReorg === undefined) {
          openReorg = { start: at, fork: height - 1, disconnected: [], connected: [] };
          state.reorgs.push(openReorg);
        }
        openReorg.disconnected.push(hash);
        openReorg.fork = height - 1;
        lastWasDisconnect = true;
        return;
      }
      default:
        // Payments: the oracle of payouts tells them.
        return;
    }
  });
  return state;
}

export interface OracleAccount {
  deposited: bigint;
  matured: bigint;
  received: bigint;
  sent: bigint;
}

export function accountAt(state: OracleState, account: string, height: number): OracleAccount {
  const deposits = state.incoming.filter(
    ({ of, owner, height: h }) => of === 'account' && owner === account && h <= height,
  );
  const books = state.transfers.filter(({ height: h }) => h <= height);
  return {
    deposited: sum(deposits.map(({ amount }) => amount)),
    matured: sum(
      deposits.filter(({ due }) => due <= Math.min(height, state.tip?.height ?? -1)).map(({ amount }) => amount),
    ),
    received: sum(books.filter(({ to }) => to === account).map(({ amount }) => amount)),
    sent: sum(books.filter(({ from }) => from === account).map(({ amount }) => amount)),
  };
}

export function walletAt(state: OracleState, wallet: string, height: number): { confirmed: bigint; immature: bigint } {
  const blocks = state.chain.filter(({ height: h }) => h <= height);
  const received = blocks.flatMap(({ found }) => found.received).filter(({ walletId }) => walletId === wallet);
  const spent = blocks.flatMap(({ found }) => found.spent).filter(({ walletId }) => walletId === wallet);
  const total =
    sum(received.map(({ amountSats }) => BigInt(amountSats))) - sum(spent.map(({ amountSats }) => BigInt(amountSats)));
  const until = Math.min(height, state.tip?.height ?? -1);
  const immature = sum(
    state.incoming
      .filter(({ of, owner, height: h, due }) => of === 'wallet' && owner === wallet && h <= height && due > until)
      .map(({ amount }) => amount),
  );
  return { confirmed: total - immature, immature };
}

export type Status = 'CONFIRMED' | 'CONFLICTED' | 'ORPHANED';

/** Status of every transfer that any block up to `height` ever held. */
export function transfersAt(state: OracleState, height: number): Map<string, Status> {
  const inputs = knownInputs(state);
  const statuses = new Map<string, Status>();
  for (const { found, height: first } of state.everConnected) {
    if (first > height) continue;
    for (const id of idsOf(found)) {
      const txid = id.split(':')[1] ?? '';
      const confirmed = state.chain.some((block) => block.height <= height && idsOf(block.found).includes(id));
      const inChain = state.chain.some((block) => idsOf(block.found).includes(id));
      const conflicted =
        !inChain && state.chain.some((block) => block.height <= height && conflicts(block.found, txid, inputs));
      statuses.set(id, confirmed ? 'CONFIRMED' : conflicted ? 'CONFLICTED' : 'ORPHANED');
    }
  }
  return statuses;
}

/** Unspent coins of connected blocks. */
export function coinsAt(state: OracleState, height: number): Map<string, bigint> {
  const coins = new Map<string, bigint>();
  for (const { found, height: h } of state.chain) {
    if (h > height) continue;
    for (const { txid, vout, amountSats } of found.received) coins.set(`${txid}:${vout}`, BigInt(amountSats));
    for (const { prevTxid, prevVout } of found.spent) coins.delete(`${prevTxid}:${prevVout}`);
  }
  return coins;
}

function idsOf(found: Found): string[] {
  return [
    ...found.received.map(({ txid, vout }) => `IN:${txid}:${vout}`),
    ...found.spent.map(({ txid, vin }) => `OUT:${txid}:${vin}`),
  ];
}

/** Inputs of the transactions that concern us, as the last block that held them told. */
function knownInputs(state: OracleState): Map<string, Set<string>> {
  const inputs = new Map<string, Set<string>>();
  for (const { found } of state.everConnected) for (const [txid, known] of inputsIn(found)) inputs.set(txid, known);
  return inputs;
}

function inputsIn(found: Found): Map<string, Set<string>> {
  const inputs = new Map<string, Set<string>>();
  const of = (txid: string): Set<string> => inputs.get(txid) ?? inputs.set(txid, new Set()).get(txid) ?? new Set();
  for (const { txid, inputs: all } of found.funding) for (const input of all) of(txid).add(input);
  for (const { txid, prevTxid, prevVout } of found.spent) of(txid).add(`${prevTxid}:${prevVout}`);
  return inputs;
}

function conflicts(found: Found, txid: string, inputs: ReadonlyMap<string, Set<string>>): boolean {
  if (found.conflicts.some((conflict) => conflict.txid === txid)) return true;
  const mine = inputs.get(txid) ?? new Set<string>();
  return [...inputsIn(found)].some(([by, theirs]) => by !== txid && [...theirs].some((input) => mine.has(input)));
}

function sum(amounts: readonly bigint[]): bigint {
  return amounts.reduce((total, amount) => total + amount, 0n);
}
