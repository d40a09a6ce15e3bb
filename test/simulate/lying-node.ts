import {
  type CoinState,
  type FeeEstimate,
  type FoundTransaction,
  type NodeAnswer,
  type PaymentNode,
  type RelayFees,
  type WantedTransaction,
} from '../../src/bitcoin/payment/payment-node.js';
import type { NodeAnswerKind } from '../../src/domain/events/payout-events.js';
import { RetryableError } from '../../src/platform/errors.js';
import type { Evidence } from './evidence.js';
import { CallDice, type Faults } from './faults.js';
import type { KnownTransaction, SimulatedChain } from './simulated-chain.js';

const INCREMENTAL_SATS_PER_KVB = 1_000n;

/** What a node says without having done anything. */
const LIES: readonly NodeAnswerKind[] = [
  'accepted',
  'already-known',
  'already-in-chain',
  'inputs-spent',
  'replaced-by-better',
  'fee-too-low',
  'refused',
  'unknown',
];

export interface LyingNodeParts {
  chain: SimulatedChain;
  evidence: Evidence;
  faults: () => Faults;
  /** Throws where the process that asks is dead. */
  assertAlive: () => void;
}

/** A node with a mempool of its own and BIP125's rules, which loses answers, refuses, invents and is away, as the faults of the step say. */
export class LyingNode implements PaymentNode {
  readonly name = 'rpc';
  readonly canSend = true;
  readonly #dice = new CallDice();
  /** Came too late for the one who asked; takes effect later all the same. */
  readonly #onTheWay: KnownTransaction[] = [];

  constructor(private readonly parts: LyingNodeParts) {}

  feeRate(target: number): Promise<FeeEstimate | undefined> {
    return this.#ask(() => {
      switch (this.parts.faults().fees) {
        case 'usual':
          return { satsPerKvb: target <= 2 ? 8_000n : 3_000n, blocks: target };
        case 'zero':
          return { satsPerKvb: 0n, blocks: target };
        case 'huge':
          return { satsPerKvb: 10n ** 12n, blocks: target };
        case 'none':
          return undefined;
      }
    });
  }

  relayFees(): Promise<RelayFees> {
    return this.#ask(() => {
      const { minimumSatsPerKvb } = this.parts.faults();
      return { minimumSatsPerKvb, incrementalSatsPerKvb: INCREMENTAL_SATS_PER_KVB };
    });
  }

  testAccept(hex: string): Promise<NodeAnswer> {
    return this.#answer('test', hex);
  }

  broadcast(hex: string): Promise<NodeAnswer> {
    return this.#answer('send', hex);
  }

  find(txid: string): Promise<FoundTransaction | undefined> {
    return this.#ask(() => {
      const { known, mempool, places } = this.parts.chain;
      const transaction = known.get(txid);
      const place = places.get(txid);
      if (transaction === undefined || (place === undefined && !mempool.has(txid))) return undefined;
      return { transaction: transaction.hex, blockHash: place?.hash ?? null };
    });
  }

  coinState(outpoint: string): Promise<CoinState> {
    return this.#ask(() => {
      const { chain } = this.parts;
      const spender = [...chain.mempool.values()].find(({ inputs }) => inputs.includes(outpoint));
      if (spender !== undefined) return { state: 'spent-in-mempool', byTxid: spender.txid };
      const isThere = chain.isUnspent(outpoint) || chain.mempool.has(outpoint.slice(0, 64));
      return { state: isThere ? 'unspent' : 'missing' };
    });
  }

  previousTransactions(wanted: readonly WantedTransaction[]): Promise<ReadonlyMap<string, Uint8Array>> {
    return this.#ask(() => {
      const { known, mempool, places } = this.parts.chain;
      return new Map(
        wanted.flatMap(({ txid }) => {
          const transaction = places.has(txid) || mempool.has(txid) ? known.get(txid) : undefined;
          return transaction === undefined ? [] : [[txid, Buffer.from(transaction.hex, 'hex')] as const];
        }),
      );
    });
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  /** What was on the way arrives. */
  arrive(): void {
    for (const transaction of this.#onTheWay.splice(0)) this.#judge(transaction, 'send');
  }

  async #ask<T>(answer: () => T): Promise<T> {
    this.parts.assertAlive();
    await Promise.resolve();
    if (this.parts.faults().nodeAway) throw new RetryableError('the node is away');
    return answer();
  }

  async #answer(mode: 'test' | 'send', hex: string): Promise<NodeAnswer> {
    const { assertAlive, chain, evidence, faults } = this.parts;
    assertAlive();
    const transaction = chain.learn(hex);
    if (transaction === undefined) return { kind: 'refused', detail: 'It spends coins that nobody ever heard of.' };
    const { txid } = transaction;
    evidence.sent.add(txid);
    if (!evidence.signed.has(hex))
      evidence.violated(`${txid} was sent to the node, and the signer never signed these bytes`);
    if (!evidence.recordedSigned.has(txid))
      evidence.violated(`${txid} was sent to the node before its bytes were in the log`);
    const now = faults();
    const dice = this.#dice.for(now, mode, txid);
    // Somebody else gets a turn, so that what is asked at the same time really overlaps.
    await new Promise((resolve) => setImmediate(resolve));
    const unknown: NodeAnswer = { kind: 'unknown', detail: 'No answer in time.' };
    if (now.nodeAway) return unknown;
    if (!dice.chance(now.nodeTrouble)) return this.#judge(transaction, mode);
    switch (dice.weighted({ lost: 4, later: 2, nothing: 2, lie: 3 })) {
      case 'lost':
        this.#judge(transaction, mode);
        return unknown;
      case 'later':
        if (mode === 'send') this.#onTheWay.push(transaction);
        return unknown;
      case 'nothing':
        return unknown;
      case 'lie':
        return { kind: dice.pick(LIES), detail: 'The node lies.' };
    }
  }

  #judge(transaction: KnownTransaction, mode: 'test' | 'send'): NodeAnswer {
    const { chain, faults } = this.parts;
    const { txid, inputs, feeSats, weight } = transaction;
    if (mode === 'send') chain.published.add(txid);
    if (chain.places.has(txid)) return { kind: 'already-in-chain', detail: 'It is in a block.' };
    if (chain.mempool.has(txid)) return { kind: 'already-known', detail: 'It is in the mempool.' };
    for (const outpoint of inputs) {
      const spend = chain.spendOf(outpoint);
      if (spend !== undefined) return { kind: 'inputs-spent', detail: `${outpoint} is spent.`, byTxid: spend.txid };
      if (!chain.isUnspent(outpoint) && !chain.mempool.has(outpoint.slice(0, 64))) {
        return { kind: 'unknown', detail: `${outpoint} is missing.` };
      }
    }
    if (transaction.transaction.locktime > chain.height) return { kind: 'unknown', detail: 'It is not final.' };
    const size = BigInt(Math.ceil(weight / 4));
    const conflicts = chain.conflictsOf(transaction);
    const [conflict] = conflicts;
    const isTooLow = (rateSatsPerKvb: bigint, aboveSats: bigint): boolean =>
      (feeSats - aboveSats) * 1_000n < rateSatsPerKvb * size;
    if (isTooLow(faults().minimumSatsPerKvb, 0n)) return { kind: 'fee-too-low', detail: 'min relay fee not met' };
    if (conflict !== undefined) {
      const replaced = chain.withDescendants(conflicts);
      const sum = replaced.reduce((fees, entry) => fees + entry.feeSats, 0n);
      const isBetter = conflicts.every((entry) => feeSats * BigInt(entry.weight) > entry.feeSats * BigInt(weight));
      const buildsOnIt = inputs.some((outpoint) => replaced.some((entry) => outpoint.startsWith(entry.txid)));
      if (!isBetter || buildsOnIt || isTooLow(INCREMENTAL_SATS_PER_KVB, sum)) {
        const kind = mode === 'send' ? 'replaced-by-better' : 'fee-too-low';
        return { kind, detail: 'insufficient fee', byTxid: conflict.txid };
      }
    }
    if (mode === 'send') chain.admit(transaction);
    return { kind: 'accepted', detail: `It pays ${feeSats} satoshis.` };
  }
}
