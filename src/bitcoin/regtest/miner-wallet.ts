import { existsSync, readFileSync } from 'node:fs';
import * as ecc from '@bitcoinerlab/secp256k1';
import { BIP32Factory, type BIP32Interface } from 'bip32';
import { networks, payments, script as scripts, Transaction } from 'bitcoinjs-lib';
import { invariant } from '../../platform/assert.js';
import { FatalError } from '../../platform/errors.js';
import { dustLimitSats } from '../payment/dust.js';
import type { Coin } from './coin.js';
import { replaceFile } from './durable-file.js';
import { fromDisplayHex } from './hashing.js';
import { MAX_PAYMENT_INPUTS, PAYMENT_SATS_PER_VBYTE } from './limits.js';
import { refuse, type ChainRejection } from './rejection.js';

export interface SpendableCoin {
  txid: string;
  vout: number;
  coin: Coin;
}

export interface MinerWallet {
  /** Where coinbases go. */
  readonly rewardScript: Uint8Array;
  readonly changeScript: Uint8Array;
  readonly rewardAddress: string;
  owns(script: Uint8Array): boolean;
  /** A signed payment out of these coins, the first that suffices or several, with the change back to the wallet. */
  createPayment(coins: readonly SpendableCoin[], toScript: Uint8Array, amountSats: bigint): Uint8Array | ChainRejection;
}

export const SEED_BYTES = 32;

/**
 * Reads the seed, or makes one for a new chain; only the owner may read the file.
 *
 * @throws FatalError when a chain is there and its seed is not: a new one would leave the miner without its coins
 */
export function loadOrCreateSeed(path: string, hasChain: boolean, random: (bytes: number) => Uint8Array): Uint8Array {
  const isThere = existsSync(path);
  if (!isThere && hasChain) throw new FatalError('The seed of the built-in miner is missing.', { path });
  if (!isThere) replaceFile(path, Buffer.from(`${Buffer.from(random(SEED_BYTES)).toString('hex')}\n`), 0o600);
  const text = readFileSync(path, 'utf8').trim();
  if (!/^[0-9a-f]{64}$/.test(text)) throw new FatalError('The seed of the built-in miner is damaged.', { path });
  return Buffer.from(text, 'hex');
}

/**
 * The wallet of the built-in miner: one key for rewards and one for change, at their places in BIP84
 * (m/84'/1'/0'/0/0 and m/84'/1'/0'/1/0). Regtest money has no value, so the seed is kept as it is.
 */
export function createMinerWallet(seed: Uint8Array): MinerWallet {
  const account = BIP32Factory(ecc).fromSeed(seed, networks.regtest).derivePath("m/84'/1'/0'");
  const keys = new Map<string, BIP32Interface>();
  const scriptAt = (path: string): Uint8Array => {
    const key = account.derivePath(path);
    const { output } = payments.p2wpkh({ pubkey: key.publicKey, network: networks.regtest });
    invariant(output, 'a key has a script');
    keys.set(Buffer.from(output).toString('hex'), key);
    return output;
  };
  const rewardScript = scriptAt('0/0');
  const changeScript = scriptAt('1/0');
  const rewardAddress = payments.p2wpkh({ output: rewardScript, network: networks.regtest }).address;
  invariant(rewardAddress, 'a script of this form has an address');
  return {
    rewardScript,
    changeScript,
    rewardAddress,
    owns: (script) => keys.has(Buffer.from(script).toString('hex')),
    createPayment(coins, toScript, amountSats) {
      const plan = planPayment(coins, toScript, amountSats, changeScript);
      return 'rejected' in plan ? plan : sign(plan, keys).toBuffer();
    },
  };
}

/** Overhead of a transaction with witnesses, and one input that spends p2wpkh with the longest signature there is, in vbytes. */
const OVERHEAD_VBYTES = 11;
const INPUT_VBYTES = 68;

interface PaymentPlan {
  inputs: SpendableCoin[];
  outputs: { script: Uint8Array; value: bigint }[];
}

function planPayment(
  coins: readonly SpendableCoin[],
  toScript: Uint8Array,
  amountSats: bigint,
  changeScript: Uint8Array,
): PaymentPlan | ChainRejection {
  const change = { script: changeScript, value: 0n };
  const outputs = [{ script: toScript, value: amountSats }, change];
  const inputs = selectCoins(coins, (count) => amountSats + feeOf(count, outputs));
  if (!inputs) {
    const have = coins.reduce((sum, { coin }) => sum + coin.amountSats, 0n);
    return refuse(
      'miner-out-of-funds',
      `The built-in miner can spend ${have} satoshis now; mine blocks so that more mature.`,
    );
  }
  const total = inputs.reduce((sum, { coin }) => sum + coin.amountSats, 0n);
  change.value = total - amountSats - feeOf(inputs.length, outputs);
  // What is not worth an output of its own goes to the fee.
  return { inputs, outputs: change.value < dustLimitSats(changeScript) ? outputs.slice(0, 1) : outputs };
}

function feeOf(inputs: number, outputs: readonly { script: Uint8Array }[]): bigint {
  const outputVbytes = outputs.reduce((sum, { script }) => sum + 9 + script.length, 0);
  return BigInt(OVERHEAD_VBYTES + INPUT_VBYTES * inputs + outputVbytes) * PAYMENT_SATS_PER_VBYTE;
}

/** The smallest coin that is enough, or else the largest ones together. */
function selectCoins(coins: readonly SpendableCoin[], needed: (count: number) => bigint): SpendableCoin[] | undefined {
  const bySize = coins.toSorted((a, b) =>
    a.coin.amountSats < b.coin.amountSats ? -1 : a.coin.amountSats > b.coin.amountSats ? 1 : 0,
  );
  const single = bySize.find(({ coin }) => coin.amountSats >= needed(1));
  if (single) return [single];
  const selected: SpendableCoin[] = [];
  let total = 0n;
  for (const candidate of bySize.reverse().slice(0, MAX_PAYMENT_INPUTS)) {
    selected.push(candidate);
    total += candidate.coin.amountSats;
    if (total >= needed(selected.length)) return selected;
  }
  return undefined;
}

/** Says "may be replaced" (BIP125), as wallets do. */
const REPLACEABLE_SEQUENCE = 0xfffffffd;

function sign({ inputs, outputs }: PaymentPlan, keys: ReadonlyMap<string, BIP32Interface>): Transaction {
  const tx = new Transaction();
  tx.version = 2;
  for (const { txid, vout } of inputs) tx.addInput(fromDisplayHex(txid), vout, REPLACEABLE_SEQUENCE);
  for (const { script, value } of outputs) tx.addOutput(script, value);
  for (const [index, { coin }] of inputs.entries()) {
    const key = keys.get(Buffer.from(coin.script).toString('hex'));
    invariant(key, 'the miner signs only for its own coins');
    const { output: scriptCode } = payments.p2pkh({ pubkey: key.publicKey });
    invariant(scriptCode, 'a key has a script');
    const sighash = tx.hashForWitnessV0(index, scriptCode, coin.amountSats, Transaction.SIGHASH_ALL);
    const signature = scripts.signature.encode(key.sign(sighash), Transaction.SIGHASH_ALL);
    tx.setWitness(index, [signature, key.publicKey]);
  }
  return tx;
}
