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
  candidates: { payment: told.Payment; isVoid: boolean; isSigned: boolean; knowsTxid: boolean }[];
  settled: string | null;
  /** In wild histories: what a thief has paid with its coins, and what a person has said to it. */
  thefts: told.Payment[];
  halted: told.Payment | null;
  resolved: { outcome: 'pay-again' | 'paid' | 'give-up'; byTxid: string } | null;
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
  isWild: boolean;
}

const DEPTHS = { completeAt: 2, finalAt: 3 };
const COINS = 12;
/** Open payouts at a time in a wild history, so that much happens to each. */
const MAX_WILD = 2;

/**
 * @param isWild with what seldom happens: coins spent by others, people who resolve that, payments that are in a block before their
 *   signature is recorded, txids that are not known before, two payments of one payout, deep reorgs
 */
export function tellPayouts(choices: readonly number[], isWild = false): ToldEvent[] {
  const coins = Array.from({ length: COINS }, (_, index) => told.coinNamed(`coin ${index}`, 100_000));
  const world: World = {
    events: [],
    waiting: [],
    payouts: [],
    chain: [],
    spare: [...coins],
    chainRevision: 0,
    serial: 0,
    isWild,
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
  if (world.isWild && chooseWild(world, choice, payout)) return;
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
  const isBusy = world.isWild && world.payouts.filter(({ isOver }) => !isOver).length >= MAX_WILD;
  if (isBusy || coin === undefined || asked.length === 0) {
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
    thefts: [],
    halted: null,
    resolved: null,
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
  if (payout.settled !== null || isStopped(payout) || payout.coins.length === 0) return;
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
  const knowsTxid = !world.isWild || which % 4 !== 1;
  payout.candidates.push({ payment, isVoid: false, isSigned: false, knowsTxid });
  world.events.push(told.candidatePrepared(payment, knowsTxid));
}

function sign(world: World, payout: Payout): void {
  const candidate = payout.candidates.find(({ isVoid, isSigned }) => !isVoid && !isSigned);
  if (!candidate || isGivenUp(payout)) return;
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
  const own = payout.candidates.filter(({ isVoid, payment }) => !isVoid && isUnspent(world, payment));
  return own[which % Math.max(own.length, 1)]?.payment ?? null;
}

function mine(world: World, mined: told.Payment | null, found: Found = NO_FOUND): void {
  world.serial += 1;
  const name = `block ${world.serial}`;
  const height = world.chain.length + 1;
  const prev = world.chain.at(-1)?.name ?? '0';
  world.chain.push({ name, prev, height, revision: world.chainRevision, mined });
  const owner = world.payouts.find(({ id }) => id === mined?.payoutId);
  const isOwn = mined !== null && owner !== undefined && !isForeign(owner, mined.txid);
  tellChain(world, blockConnected(height, name, prev, mined === null ? found : told.minedPayment(mined, isOwn)));
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
  if (!block || !payment || isStopped(payout) || isForeign(payout, payment.txid)) return;
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
  if (isStopped(payout) || payout.resolved !== null) return;
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

/** @returns whether it was one of the seldom things */
function chooseWild(world: World, choice: number, payout: Payout | undefined): boolean {
  const which = Math.trunc(choice / 16);
  switch (choice % 16) {
    case 1:
      if (payout) steal(world, payout, which);
      return payout !== undefined;
    case 2:
      if (payout) haltOrResume(world, payout);
      return payout !== undefined;
    case 3:
      if (payout?.halted) resolve(world, payout, which);
      return payout !== undefined && payout.halted !== null;
    case 11:
      if (payout) mine(world, anyUnspent(world, payout, which));
      return payout !== undefined;
    case 12:
      // Now and then so deep that what is closed is in few blocks, or in none.
      reorganise(world, (which % 6) + 1);
      return true;
    case 14:
      if (payout) endResolved(world, payout);
      return payout !== undefined && isGivenUp(payout);
    default:
      return false;
  }
}

/** A payment of the payout's, void ones and thefts as well, of which no input is spent on the chain. */
function anyUnspent(world: World, payout: Payout, which: number): told.Payment | null {
  const payments = [...payout.candidates.map(({ payment }) => payment), ...payout.thefts];
  const possible = payments.filter((payment) => isUnspent(world, payment));
  return possible[which % Math.max(possible.length, 1)] ?? null;
}

/** Somebody else spends the payout's first coin: in a block at once, if it is not spent. */
function steal(world: World, payout: Payout, which: number): void {
  const [coin] = payout.coins;
  if (coin === undefined) return;
  const txid = hashNamed(`theft ${which % 2} of ${payout.id}`);
  const theft: told.Payment = {
    payoutId: 'of a thief',
    candidate: 0,
    txid,
    inputs: [coin],
    pays: [],
    change: 0,
    fee: coin.amount,
  };
  if (!payout.thefts.some((known) => known.txid === txid)) payout.thefts.push(theft);
  if (isUnspent(world, theft)) mine(world, theft);
}

function isUnspent({ chain }: World, { inputs }: told.Payment): boolean {
  const spent = new Set(chain.flatMap(({ mined }) => (mined?.inputs ?? []).map(({ outpoint }) => outpoint)));
  return inputs.every(({ outpoint }) => !spent.has(outpoint));
}

/** A person has to decide, or has decided that there is nothing left to do. */
function isStopped(payout: Payout): boolean {
  return payout.halted !== null || isGivenUp(payout);
}

function isGivenUp({ resolved }: Payout): boolean {
  return resolved !== null && resolved.outcome !== 'pay-again';
}

/** By what is in a block and not known as its own: a theft, or a payment whose txid its signer has not said so far. */
function haltOrResume(world: World, payout: Payout): void {
  if (isGivenUp(payout)) return;
  if (payout.halted) {
    world.events.push(told.payoutResumed(payout.id, payout.halted.txid));
    payout.halted = null;
    return;
  }
  const block = world.chain.find(({ mined }) => mined !== null && isForeign(payout, mined.txid));
  const spent = block?.mined?.inputs.find(({ outpoint }) => payout.coins.some((coin) => coin.outpoint === outpoint));
  if (!block?.mined || !spent) return;
  payout.halted = block.mined;
  const { txid } = block.mined;
  world.events.push(told.payoutHalted(payout.id, spent.outpoint, txid, hashNamed(`block ${block.name}`), block.height));
}

function isForeign({ candidates, thefts, resolved }: Payout, txid: string): boolean {
  if (resolved?.byTxid === txid) return false;
  const own = candidates.find(({ payment }) => payment.txid === txid);
  if (own === undefined) return thefts.some((theft) => theft.txid === txid);
  return !own.isSigned && (own.isVoid || !own.knowsTxid);
}

function resolve(world: World, payout: Payout, which: number): void {
  const { halted } = payout;
  const coin = halted?.inputs[0];
  if (!halted || !coin || !isForeign(payout, halted.txid)) return;
  const asked = (['pay-again', 'paid', 'give-up'] as const)[which % 3] ?? 'pay-again';
  const outcome = payout.settled !== null && asked === 'give-up' ? 'paid' : asked;
  payout.resolved = { outcome, byTxid: halted.txid };
  payout.halted = null;
  world.events.push(told.payoutResolved(payout.id, outcome, halted.txid, coin.outpoint));
  if (outcome === 'paid' && payout.settled === null) {
    payout.settled = halted.txid;
    world.events.push(told.payoutSettled(payout.id, halted.txid, 0, payout.asked));
  }
  if (outcome !== 'pay-again') return;
  for (const candidate of payout.candidates) candidate.isVoid = true;
  // The new payment has other coins: it can be in a block together with a former one.
  const outpoints = payout.coins.map(({ outpoint }) => outpoint);
  payout.coins = world.spare.splice(0, 1);
  world.events.push(told.coinsReleased(payout.id, outpoints, 'conflict'));
  if (payout.coins.length > 0) world.events.push(told.coinsReserved(payout.id, payout.coins));
}

/** One event at a time: each position between them is asked about. */
function endResolved(world: World, payout: Payout): void {
  const { resolved } = payout;
  if (!resolved || resolved.outcome === 'pay-again') return;
  payout.isOver = true;
  world.events.push(told.payoutClosed(payout.id, resolved.byTxid));
  for (const asked of payout.asked) {
    if (resolved.outcome === 'paid' || payout.settled !== null) {
      world.events.push(told.withdrawalSettled(asked, payout.id, resolved.byTxid, 0));
    } else {
      world.events.push(told.withdrawalFailed(asked, payout.id), told.fundsReleased(asked, 'failed'));
    }
  }
  const outpoints = payout.coins.map(({ outpoint }) => outpoint);
  world.events.push(told.coinsReleased(payout.id, outpoints, 'spent'));
}

function tellChain(world: World, event: ToldEvent): void {
  world.events.push(event);
  world.chainRevision += 1;
}
