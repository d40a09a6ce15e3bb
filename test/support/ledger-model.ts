import fc from 'fast-check';
import { createHash } from 'node:crypto';
import type { Conflict, Found, Funding, Received, Spent } from '../../src/domain/events/chain-events.js';
import type { ToldEvent } from './ledger-log.js';

/**
 * Makes random but consistent histories of a ledger: what a follower would have recorded of a chain with forks, reorgs of reorgs,
 * returns to an older branch, empty reorgs, a transaction in two blocks, double spends across branches, coinbase coins,
 * deposits, transfers and changes of the deposit policy.
 */
export type Step =
  | { kind: 'account' }
  | { kind: 'watch'; account: number; byHand: boolean }
  | { kind: 'transfer'; from: number; to: number; amountSats: number }
  | { kind: 'policy'; depositConfirmations: number; coinbaseMaturity: number }
  | { kind: 'block'; plan: BlockPlan }
  /** Takes `depth` blocks off and connects `length` new ones, or an abandoned branch where there is one to return to. */
  | { kind: 'reorg'; depth: number; back: number | null; plans: BlockPlan[] };

export interface BlockPlan {
  /** Pays one of the scripts with the coinbase. */
  coinbase: number | null;
  transactions: TransactionPlan[];
  /** How many abandoned transactions to take in again, where they are valid. */
  again: number;
  /** A transaction that does not concern us and takes this outside coin. */
  stranger: number | null;
  /** Events of type `TransfersFound` before the block. */
  parts: number;
  /** The follower died after some parts and told them again. */
  died: boolean;
}

export interface TransactionPlan {
  /** Which outside coins it spends; few, so that branches collide. */
  outside: number[];
  /** Which of our coins it spends, as an index into those that are there. */
  ours: number[];
  /** Scripts that it pays. */
  pays: { script: number; amountSats: number }[];
}

const small = fc.integer({ min: 0, max: 9 });
const amount = fc.integer({ min: 1, max: 5_000 });

const transactionPlan: fc.Arbitrary<TransactionPlan> = fc.record({
  outside: fc.uniqueArray(fc.integer({ min: 0, max: 7 }), { minLength: 1, maxLength: 2 }),
  ours: fc.uniqueArray(small, { maxLength: 2 }),
  pays: fc.array(fc.record({ script: small, amountSats: amount }), { maxLength: 3 }),
});

const blockPlan: fc.Arbitrary<BlockPlan> = fc.record({
  coinbase: fc.option(small, { freq: 2 }),
  transactions: fc.array(transactionPlan, { maxLength: 3 }),
  again: fc.integer({ min: 0, max: 2 }),
  stranger: fc.option(fc.integer({ min: 0, max: 7 }), { freq: 3 }),
  parts: fc.integer({ min: 0, max: 2 }),
  died: fc.boolean(),
});

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 1, arbitrary: fc.constant({ kind: 'account' } as const) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('watch' as const),
      account: fc.integer({ min: -1, max: 4 }),
      byHand: fc.boolean(),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constant('transfer' as const), from: small, to: small, amountSats: amount }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('policy' as const),
      depositConfirmations: fc.integer({ min: 1, max: 4 }),
      coinbaseMaturity: fc.integer({ min: 1, max: 6 }),
    }),
  },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('block' as const), plan: blockPlan }) },
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('reorg' as const),
      depth: fc.integer({ min: 1, max: 4 }),
      back: fc.option(small, { freq: 2 }),
      plans: fc.array(blockPlan, { maxLength: 5 }),
    }),
  },
);

export const history: fc.Arbitrary<Step[]> = fc.array(step, { minLength: 5, maxLength: 35 });

const CHAIN = 'chain-regtest';
const BITS = 0x207fffff;
/** START_BLOCK, so that heights below the start are seen to be handled. */
const START_HEIGHT = 7;

interface Transaction {
  txid: string;
  coinbase: boolean;
  inputs: string[];
  outputs: { script: number; amountSats: number }[];
}

interface Block {
  hash: string;
  height: number;
  prevHash: string;
  transactions: Transaction[];
  plan: BlockPlan;
}

interface Connected {
  block: Block;
  revision: number;
}

interface World {
  events: ToldEvent[];
  accounts: string[];
  /** Scripts that are watched, with their owners. */
  scripts: { script: string; wallet: string; account: string | null }[];
  chain: Connected[];
  /** Blocks that were taken off, newest first per branch. */
  abandoned: Block[][];
  /** Every transaction ever in a block, by txid. */
  transactions: Map<string, Transaction>;
  /** Funding inputs of transactions that paid us, as the follower keeps them. */
  funding: Map<string, string[]>;
  chainRevision: number;
  serial: number;
  openHash: string;
}

/** Tells the steps as events. What a step asks for and is not possible is left out. */
export function tellHistory(steps: readonly Step[]): ToldEvent[] {
  const openHash = hashOf('start');
  const world: World = {
    events: [],
    accounts: [],
    scripts: [],
    chain: [],
    abandoned: [],
    transactions: new Map(),
    funding: new Map(),
    chainRevision: 0,
    serial: 0,
    openHash,
  };
  // One account and one transfer's worth of books before there is a chain at all.
  openAccount(world);
  world.events.push({
    stream: 'wallet-w0',
    type: 'WalletCreated',
    data: {
      walletId: 'w0',
      network: 'regtest',
      descriptor: 'wpkh(tpub/0/*)',
      changeDescriptor: null,
      gapLimit: 20,
      signer: 'none',
    },
  });
  world.events.push({
    stream: 'wallet-w1',
    type: 'WalletCreated',
    data: {
      walletId: 'w1',
      network: 'regtest',
      descriptor: null,
      changeDescriptor: null,
      gapLimit: 20,
      signer: 'none',
    },
  });
  tellChain(world, {
    type: 'ChainOpened',
    data: { network: 'regtest', hash: openHash, height: START_HEIGHT, prevHash: null, time: null, bits: null },
  });
  tellChain(world, {
    type: 'DepositPolicySet',
    data: { network: 'regtest', depositConfirmations: 2, coinbaseMaturity: 3 },
  });
  watchScript(world, 0, false);
  for (const item of steps) takeStep(world, item);
  return world.events;
}

function takeStep(world: World, item: Step): void {
  switch (item.kind) {
    case 'account':
      if (world.accounts.length < 5) openAccount(world);
      return;
    case 'watch':
      watchScript(world, item.account, item.byHand);
      return;
    case 'transfer':
      sendTransfer(world, item.from, item.to, item.amountSats);
      return;
    case 'policy':
      tellChain(world, {
        type: 'DepositPolicySet',
        data: {
          network: 'regtest',
          depositConfirmations: item.depositConfirmations,
          coinbaseMaturity: item.coinbaseMaturity,
        },
      });
      return;
    case 'block':
      connect(world, buildBlock(world, item.plan));
      return;
    case 'reorg':
      reorganise(world, item.depth, item.back, item.plans);
      return;
  }
}

function openAccount(world: World): void {
  const accountId = `a${world.accounts.length}`;
  world.accounts.push(accountId);
  world.events.push({
    stream: `account-${accountId}`,
    type: 'AccountOpened',
    data: { accountId, metadata: { n: world.accounts.length } },
  });
}

function watchScript(world: World, account: number, byHand: boolean): void {
  const index = world.scripts.length;
  // Every fourth time a script that is watched already: the first watcher keeps it.
  const script = index % 4 === 3 ? (world.scripts[0]?.script ?? '') : `0014${hashOf(`script ${index}`).slice(0, 40)}`;
  const wallet = byHand ? 'w1' : 'w0';
  const accountId = account < 0 ? null : (world.accounts[account % world.accounts.length] ?? null);
  world.scripts.push({ script, wallet, account: accountId });
  if (byHand) {
    world.events.push({
      stream: 'wallet-w1',
      type: 'ScriptWatched',
      data: { walletId: 'w1', accountId, script, address: null },
    });
  } else {
    world.events.push({
      stream: 'wallet-w0',
      type: 'AddressIssued',
      data: { walletId: 'w0', accountId, branch: 0, index, script, address: `bcrt1q${index}` },
    });
  }
}

function sendTransfer(world: World, from: number, to: number, amountSats: number): void {
  const fromAccountId = world.accounts[from % world.accounts.length];
  const toAccountId = world.accounts[to % world.accounts.length];
  if (fromAccountId === undefined || toAccountId === undefined || fromAccountId === toAccountId) return;
  world.serial += 1;
  world.events.push({
    stream: `account-${fromAccountId}`,
    type: 'TransferSent',
    data: {
      transferId: `t${world.serial}`,
      fromAccountId,
      toAccountId,
      amountSats: String(amountSats),
      postings: [
        { book: `account:${fromAccountId}`, amountSats: String(amountSats) },
        { book: `account:${toAccountId}`, amountSats: String(-amountSats) },
      ],
    },
  });
}

function reorganise(world: World, depth: number, back: number | null, plans: readonly BlockPlan[]): void {
  const taken: Block[] = [];
  for (let i = 0; i < depth && world.chain.length > 0; i += 1) {
    const last = world.chain.pop();
    if (last === undefined) break;
    disconnect(world, last);
    taken.unshift(last.block);
  }
  if (taken.length > 0) world.abandoned.push(taken);
  if (back !== null && world.abandoned.length > 0) {
    const branch = world.abandoned[back % world.abandoned.length] ?? [];
    for (const block of branch) if (block.prevHash === tipHash(world)) connect(world, block);
  }
  for (const plan of plans) connect(world, buildBlock(world, plan));
}

function buildBlock(world: World, plan: BlockPlan): Block {
  const height = START_HEIGHT + world.chain.length + 1;
  const spent = new Set(world.chain.flatMap(({ block }) => block.transactions.flatMap(({ inputs }) => inputs)));
  const mined = new Set(world.chain.flatMap(({ block }) => block.transactions.map(({ txid }) => txid)));
  const coins = ownCoins(world).filter((coin) => !spent.has(coin));
  const transactions: Transaction[] = [];
  if (plan.coinbase !== null) {
    world.serial += 1;
    transactions.push(
      makeTransaction(
        world,
        `coinbase ${world.serial}`,
        true,
        [],
        [{ script: plan.coinbase, amountSats: 5_000 + height }],
      ),
    );
  }
  const take = (transaction: Transaction): void => {
    const available = transaction.inputs.every(
      (input) => !spent.has(input) && (isOutside(input) || coins.includes(input)),
    );
    if (mined.has(transaction.txid) || !available) return;
    for (const input of transaction.inputs) spent.add(input);
    mined.add(transaction.txid);
    transactions.push(transaction);
    transaction.outputs.forEach((_, vout) => coins.push(`${transaction.txid}:${vout}`));
  };
  const abandoned = [...world.transactions.values()].filter(({ txid, coinbase }) => !coinbase && !mined.has(txid));
  // The newest first: those that were just taken off. What is not valid here is left out and does not count.
  const most = transactions.length + plan.again;
  for (const transaction of abandoned.reverse()) if (transactions.length < most) take(transaction);
  if (plan.stranger !== null) {
    world.serial += 1;
    take(makeTransaction(world, `stranger ${world.serial}`, false, [outsideCoin(plan.stranger)], []));
  }
  for (const { outside, ours, pays } of plan.transactions) {
    world.serial += 1;
    const own = [...new Set(ours.flatMap((index) => coins[index % Math.max(coins.length, 1)] ?? []))];
    take(makeTransaction(world, `transaction ${world.serial}`, false, [...outside.map(outsideCoin), ...own], pays));
  }
  const prevHash = tipHash(world);
  world.serial += 1;
  return { hash: hashOf(`block ${world.serial}`), height, prevHash, transactions, plan };
}

function makeTransaction(
  world: World,
  name: string,
  coinbase: boolean,
  inputs: string[],
  outputs: Transaction['outputs'],
): Transaction {
  const transaction = { txid: hashOf(name), coinbase, inputs, outputs };
  world.transactions.set(transaction.txid, transaction);
  return transaction;
}

/** Coins that the follower knows: paid to a script when its block was connected. */
function ownCoins(world: World): string[] {
  return world.chain.flatMap(({ block }) =>
    block.transactions.flatMap(({ txid, outputs }) => outputs.map((_, vout) => `${txid}:${vout}`)),
  );
}

function connect(world: World, block: Block): void {
  const found = scan(world, block);
  const parts = split(found, block.plan.parts);
  const last = parts.pop() ?? found;
  const tellParts = (upTo: number): void => {
    parts.slice(0, upTo).forEach((part, index) => {
      tellChain(world, {
        type: 'TransfersFound',
        data: { network: 'regtest', blockHash: block.hash, part: index, found: part },
      });
    });
  };
  if (block.plan.died) tellParts(1);
  tellParts(parts.length);
  const revision = world.chainRevision;
  tellChain(world, {
    type: 'BlockConnected',
    data: {
      network: 'regtest',
      hash: block.hash,
      height: block.height,
      prevHash: block.prevHash,
      time: 1_700_000_000 + block.height,
      bits: BITS,
      size: 1000,
      transactionCount: block.transactions.length,
      parts: parts.length,
      found: last,
    },
  });
  world.chain.push({ block, revision });
}

function disconnect(world: World, { block, revision }: Connected): void {
  tellChain(world, {
    type: 'BlockDisconnected',
    data: {
      network: 'regtest',
      hash: block.hash,
      height: block.height,
      prevHash: block.prevHash,
      connectedRevision: revision,
    },
  });
}

/** What the follower would find in the block now. */
function scan(world: World, block: Block): Found {
  const owned = new Map<string, Received>();
  const active = new Set(world.chain.flatMap(({ block: { transactions } }) => transactions.map(({ txid }) => txid)));
  for (const { block: connected } of world.chain)
    for (const item of receivedIn(world, connected)) owned.set(`${item.txid}:${item.vout}`, item);
  const found: Found = { received: [], spent: [], funding: [], conflicts: [] };
  for (const received of receivedIn(world, block)) {
    found.received.push(received);
    owned.set(`${received.txid}:${received.vout}`, received);
  }
  const seen = new Set<string>();
  for (const { txid, inputs, coinbase } of block.transactions) {
    if (!coinbase && found.received.some((received) => received.txid === txid)) {
      found.funding.push({ txid, inputs });
      world.funding.set(txid, inputs);
    }
    found.spent.push(...spentBy(txid, inputs, owned));
    found.conflicts.push(...conflictsWith(world, txid, inputs, active, seen));
  }
  return found;
}

/** Outputs that pay a script that was watched when the coin was first seen; owners never change. */
function receivedIn(world: World, block: Block): Received[] {
  return block.transactions.flatMap(({ txid, outputs, coinbase }) =>
    outputs.flatMap(({ script: index, amountSats }, vout) => {
      // Some outputs pay strangers.
      const watched = world.scripts[index];
      const first = world.scripts.find(({ script }) => script === watched?.script);
      if (isLateWatch(world, txid, index) || first === undefined) return [];
      return [
        {
          txid,
          vout,
          amountSats: String(amountSats),
          script: first.script,
          address: null,
          walletId: first.wallet,
          accountId: first.account,
          coinbase,
          derivation: null,
          payoutId: null,
        },
      ];
    }),
  );
}

/** A script that was not watched yet when the transaction was first scanned stays unseen in it: owners are told once. */
const firstScan = new WeakMap<World, Map<string, number>>();
function isLateWatch(world: World, txid: string, index: number): boolean {
  const scans = firstScan.get(world) ?? new Map<string, number>();
  firstScan.set(world, scans);
  const known = scans.get(txid);
  if (known === undefined) scans.set(txid, world.scripts.length);
  return index >= (known ?? world.scripts.length);
}

function spentBy(txid: string, inputs: readonly string[], owned: ReadonlyMap<string, Received>): Spent[] {
  return inputs.flatMap((input, vin) => {
    const coin = owned.get(input);
    if (coin === undefined) return [];
    const { amountSats, script, address, walletId, accountId } = coin;
    const place = { txid, vin, prevTxid: coin.txid, prevVout: coin.vout };
    return [{ ...place, amountSats, script, address, walletId, accountId, payoutId: null }];
  });
}

function conflictsWith(
  world: World,
  byTxid: string,
  inputs: readonly string[],
  active: ReadonlySet<string>,
  seen: Set<string>,
): Conflict[] {
  return inputs.flatMap((outpoint) =>
    [...world.funding].flatMap(([txid, funding]) => {
      if (txid === byTxid || active.has(txid) || !funding.includes(outpoint) || seen.has(txid)) return [];
      seen.add(txid);
      return [{ txid, byTxid, outpoint }];
    }),
  );
}

/** Cuts what was found into `parts` + 1 pieces, in block order. */
function split(found: Found, parts: number): Found[] {
  const pieces: Found[] = Array.from({ length: parts + 1 }, () => ({
    received: [],
    spent: [],
    funding: [],
    conflicts: [],
  }));
  const place = (index: number, length: number): Found => {
    const piece = pieces[Math.min(parts, Math.floor((index * (parts + 1)) / Math.max(length, 1)))];
    return piece ?? found;
  };
  found.received.forEach((item, i) => place(i, found.received.length).received.push(item));
  found.spent.forEach((item, i) => place(i, found.spent.length).spent.push(item));
  found.funding.forEach((item: Funding, i) => place(i, found.funding.length).funding.push(item));
  found.conflicts.forEach((item, i) => place(i, found.conflicts.length).conflicts.push(item));
  return pieces;
}

function tellChain(world: World, event: Omit<ToldEvent, 'stream'>): void {
  world.events.push({ ...event, stream: CHAIN } as ToldEvent);
  world.chainRevision += 1;
}

function tipHash(world: World): string {
  return world.chain.at(-1)?.block.hash ?? world.openHash;
}

function outsideCoin(index: number): string {
  return `${hashOf(`outside ${index}`)}:0`;
}

const OUTSIDE = new Set(Array.from({ length: 8 }, (_, index) => outsideCoin(index)));

function isOutside(input: string): boolean {
  return OUTSIDE.has(input);
}

function hashOf(name: string): string {
  return createHash('sha256').update(name).digest('hex');
}
