import type { BlockPlan, Step } from './history-plan.js';
import { scan, split } from './history-scan.js';
import { hashOf, isOutside, outsideCoin, tipHash } from './history-world.js';
import type { Block, Connected, Transaction, World } from './history-world.js';
import type { ToldEvent } from './ledger-log.js';

const CHAIN = 'chain-regtest';
const BITS = 0x207fffff;
/** START_BLOCK, so that heights below the start are seen to be handled. */
const START_HEIGHT = 7;

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

function tellChain(world: World, event: Omit<ToldEvent, 'stream'>): void {
  world.events.push({ ...event, stream: CHAIN } as ToldEvent);
  world.chainRevision += 1;
}
