import type { Conflict, Found, Funding, Received, Spent } from '../../src/domain/events/chain-events.js';
import type { Block, World } from './history-world.js';

/** What the follower would find in the block now. */
export function scan(world: World, block: Block): Found {
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
export function split(found: Found, parts: number): Found[] {
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
