import { createHash } from 'node:crypto';
import type { BlockPlan } from './history-plan.js';
import type { ToldEvent } from './ledger-log.js';

export interface Transaction {
  txid: string;
  coinbase: boolean;
  inputs: string[];
  outputs: { script: number; amountSats: number }[];
}

export interface Block {
  hash: string;
  height: number;
  prevHash: string;
  transactions: Transaction[];
  plan: BlockPlan;
}

export interface Connected {
  block: Block;
  revision: number;
}

export interface World {
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

export function tipHash(world: World): string {
  return world.chain.at(-1)?.block.hash ?? world.openHash;
}

export function outsideCoin(index: number): string {
  return `${hashOf(`outside ${index}`)}:0`;
}

const OUTSIDE = new Set(Array.from({ length: 8 }, (_, index) => outsideCoin(index)));

export function isOutside(input: string): boolean {
  return OUTSIDE.has(input);
}

export function hashOf(name: string): string {
  return createHash('sha256').update(name).digest('hex');
}
