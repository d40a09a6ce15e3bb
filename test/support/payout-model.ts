import type { Found } from '../../src/domain/events/chain-events.js';
import type { ToldEvent } from './ledger-log.js';
import * as told from './payout-events.js';
import {
  accountOpened,
  blockConnected,
  blockDisconnected,
  chainOpened,
  deposit,
  hashNamed,
  NO_FOUND,
  walletCreated,
} from './small-histories.js';

/**
 * Random but legal lives of withdrawals and payouts, as the workflow and the follower would have recorded them: each number is a
 * choice, what it asks for and is not possible is left out.
 */
interface Payout {
  id: string;
  asked: told.Asked[];
  coins: told.OwnCoin[];
  candidates: { payment: told.Payment; isVoid: boolean; isSigned: boolean }[];
  settled: string | null;
  isOver: boolean;
}

interface Block {
  name: string;
  prev: string;
  height: number;
  revision: number;
  mined: told.Payment | null;
}

interface World {
  events: ToldEvent[];
  waiting: told.Asked[];
  payouts: Payout[];
  chain: Block[];
  spare: told.OwnCoin[];
  chainRevision: number;
  serial: number;
}

const DEPTHS = { completeAt: 2, finalAt: 3 };
const COINS = 12;

export function tellPayouts(choices: readonly number[]): ToldEvent[] {
  const coins = Array.from({ length: COINS }, (_, index) => told.coinNamed(`coin ${index}`, 100_000));
  const world: World = {
    events: [],
    waiting: [],
    payouts: [],
    chain: [],
    spare: [...coins],
    chainRevision: 0,
    serial: 0,
  };
  world.events.push(walletCreated('w'), accountOpened('alice'), accountOpened('bob'));
  for (const event of chainOpened()) tellChain(world, event);
  const found: Found = { ...NO_FOUND, received: [], funding: [] };
  for (let index = 0; index < COINS; index += 1) {
    const coin = deposit(`coin ${index}`, null, 100_000);
    found.received.push(...(coin.received ?? []));
    found.funding.push(...(coin.funding ?? []));
  }
  mine(world, null, found);
  for (const choice of choices) choose(world, choice);
  return world.events;
}

function choose(world: World, choice: number): void {
  const which = Math.trunc(choice / 16);
  const live = world.payouts.filter(({ isOver }) => !isOver);
  const payout = live[which % Math.max(live.length, 1)];
  switch (choice % 16) {
    case 0:
    case 1:
      request(world, which);
      return;
    case 2:
      defer(world, which);
      return;
    case 3:
      cancel(world, which);
      return;
    case 4:
    case 5:
      start(world);
      return;
    case 6:
    case 7:
      if (payout) prepare(world, payout, which);
      return;
    case 8:
      if (payout) sign(world, payout);
      return;
    case 9:
      if (payout) offer(world, payout, which);
      return;
    case 10:
    case 11:
      mine(world, payout ? minable(world, payout, which) : null);
      return;
    case 12:
      reorganise(world, (which % 2) + 1);
      return;
    case 13:
    case 14:
      if (payout) settleOrClose(world, payout);
      return;
    default:
      if (!payout) return;
      // What is taken out is never signed: seldom, so that most lives get further.
      if (which % 5 === 0) remove(world, payout);
      else {
        sign(world, payout);
        offer(world, payout, which);
      }
  }
}

function request(world: World, which: number): void {
  world.serial += 1;
  const asked = {
    id: `wd${world.serial}`,
    account: which % 2 === 0 ? 'alice' : 'bob',
    amount: 10_000 + which,
    maxFee: which % 3 === 0 ? 1_000 : null,
  };
  world.waiting.push(asked);
  world.events.push(told.fundsReserved(asked));
}

function defer(world: World, which: number): void {
  const asked = world.waiting[which % Math.max(world.waiting.length, 1)];
  if (asked) world.events.push(told.withdrawalDeferred(asked.id, `try ${which}`));
}

function cancel(world: World, which: number): void {
  const [asked] = world.waiting.splice(which % Math.max(world.waiting.length, 1), 1);
  if (!asked) return;
  world.events.push(told.withdrawalCancelled(asked));
  if (which % 2 === 0) world.events.push(told.fundsReleased(asked, 'cancelled'));
}

function start(world: World): void {
  const coin = world.spare.shift();
  const asked = world.waiting.splice(0, 2);
  if (coin === undefined || asked.length === 0) {
    if (coin) world.spare.unshift(coin);
    world.waiting.unshift(...asked);
    return;
  }
  world.serial += 1;
  const payout: Payout = {
    id: `p${world.serial}`,
    asked,
    coins: [coin],
    candidates: [],
    settled: null,
    isOver: false,
  };
  world.payouts.push(payout);
  world.events.push(
    told.payoutStarted(payout.id, asked, DEPTHS),
    ...asked.map(({ id }) => told.withdrawalAssigned(id, payout.id)),
    told.coinsReserved(payout.id, [coin]),
  );
}

function prepare(world: World, payout: Payout, which: number): void {
  if (payout.settled !== null) return;
  const more = which % 3 === 0 ? world.spare.shift() : undefined;
  if (more) {
    payout.coins.push(more);
    world.events.push(told.coinsReserved(payout.id, [more]));
  }
  const candidate = payout.candidates.length;
  const total = payout.coins.reduce((sum, { amount }) => sum + amount, 0);
  const fee = 200 * (candidate + 1);
  const payment: told.Payment = {
    payoutId: payout.id,
    candidate,
    txid: hashNamed(`${payout.id} candidate ${candidate}`),
    inputs: [...payout.coins],
    pays: [...payout.asked],
    change: total - fee - payout.asked.reduce((sum, { amount }) => sum + amount, 0),
    fee,
  };
  payout.candidates.push({ payment, isVoid: false, isSigned: false });
  world.events.push(told.candidatePrepared(payment));
}

function sign(world: World, payout: Payout): void {
  const candidate = payout.candidates.find(({ isVoid, isSigned }) => !isVoid && !isSigned);
  if (!candidate) return;
  candidate.isSigned = true;
  world.events.push(told.candidateSigned(candidate.payment));
}

const ANSWERS = ['accepted', 'unknown', 'already-known', 'fee-too-low'] as const;

function offer(world: World, payout: Payout, which: number): void {
  const signed = payout.candidates.filter(({ isSigned }) => isSigned);
  const candidate = signed[which % Math.max(signed.length, 1)];
  const answer = ANSWERS[which % ANSWERS.length] ?? 'unknown';
  if (candidate) world.events.push(told.candidateOffered(payout.id, candidate.payment.txid, answer));
}

function minable(world: World, payout: Payout, which: number): told.Payment | null {
  if (world.chain.some(({ mined }) => mined?.payoutId === payout.id)) return null;
  const own = payout.candidates.filter(({ isVoid }) => !isVoid);
  return own[which % Math.max(own.length, 1)]?.payment ?? null;
}

function mine(world: World, mined: told.Payment | null, found: Found = NO_FOUND): void {
  world.serial += 1;
  const name = `block ${world.serial}`;
  const height = world.chain.length + 1;
  const prev = world.chain.at(-1)?.name ?? '0';
  world.chain.push({ name, prev, height, revision: world.chainRevision, mined });
  tellChain(world, blockConnected(height, name, prev, mined === null ? found : told.minedPayment(mined)));
}

/** The block with the coins stays. */
function reorganise(world: World, depth: number): void {
  for (let taken = 0; taken < depth && world.chain.length > 1; taken += 1) {
    const block = world.chain.pop();
    if (block) tellChain(world, blockDisconnected(block.height, block.name, block.prev, block.revision));
  }
}

function settleOrClose(world: World, payout: Payout): void {
  const block = world.chain.find(({ mined }) => mined?.payoutId === payout.id);
  const payment = block?.mined;
  if (!block || !payment) return;
  const confirmations = world.chain.length - block.height + 1;
  if (payout.settled === null) {
    if (confirmations < DEPTHS.completeAt) return;
    payout.settled = payment.txid;
    world.events.push(
      told.payoutSettled(payout.id, payment.txid, payment.fee, payout.asked),
      ...payout.asked.map((asked) => told.withdrawalSettled(asked, payout.id, payment.txid, 0)),
    );
  } else if (confirmations >= DEPTHS.finalAt && payout.settled === payment.txid) {
    payout.isOver = true;
    const outpoints = payout.coins.map(({ outpoint }) => outpoint);
    world.events.push(told.payoutClosed(payout.id, payment.txid), told.coinsReleased(payout.id, outpoints, 'spent'));
  }
}

function remove(world: World, payout: Payout): void {
  const isMined = world.chain.some(({ mined }) => mined?.payoutId === payout.id);
  if (isMined || payout.settled !== null || payout.candidates.some(({ isSigned }) => isSigned)) return;
  const asked = payout.asked.shift();
  if (!asked) return;
  for (const candidate of payout.candidates) candidate.isVoid = true;
  world.events.push(told.withdrawalRemoved(payout.id, asked.id));
  if (payout.asked.length > 0) {
    world.events.push(told.withdrawalCancelled(asked), told.fundsReleased(asked, 'cancelled'));
    return;
  }
  payout.isOver = true;
  const outpoints = payout.coins.map(({ outpoint }) => outpoint);
  world.events.push(
    told.payoutCancelled(payout.id),
    told.withdrawalCancelled(asked),
    told.coinsReleased(payout.id, outpoints, 'unsigned'),
    told.fundsReleased(asked, 'cancelled'),
  );
}

function tellChain(world: World, event: ToldEvent): void {
  world.events.push(event);
  world.chainRevision += 1;
}
