import { Block, type Transaction } from 'bitcoinjs-lib';
import type { FoundOutput, FoundSpend, FoundTransaction } from '../../src/bitcoin/scan-types.js';

export interface OracleAnswer {
  header: {
    hash: string;
    prevHash: string;
    merkleRoot: string;
    version: number;
    time: number;
    bits: number;
    nonce: number;
  };
  transactionCount: number;
  outputs: FoundOutput[];
  spends: FoundSpend[];
  transactions: FoundTransaction[];
}

const toHex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const reversedHex = (bytes: Uint8Array): string => Buffer.from(bytes).reverse().toString('hex');

/** What a scan of this block must find, by bitcoinjs-lib: slow, and with objects for everything. */
export function oracleScan(
  bytes: Uint8Array,
  ownerOfScript: ReadonlyMap<string, number>,
  watchedOutpoints: ReadonlySet<string>,
): OracleAnswer {
  const block = Block.fromBuffer(bytes);
  const all: readonly Transaction[] = block.transactions ?? [];
  const watched = new Set(watchedOutpoints);
  const answer: OracleAnswer = {
    header: {
      hash: block.getId(),
      prevHash: reversedHex(block.prevHash ?? new Uint8Array()),
      merkleRoot: reversedHex(block.merkleRoot ?? new Uint8Array()),
      version: block.version,
      time: block.timestamp,
      bits: block.bits,
      nonce: block.nonce,
    },
    transactionCount: all.length,
    outputs: [],
    spends: [],
    transactions: [],
  };
  for (const tx of all) {
    const txid = tx.getId();
    const coinbase = tx.isCoinbase();
    const inputs = coinbase
      ? []
      : tx.ins.map((input) => ({ prevTxid: reversedHex(input.hash), prevVout: input.index }));
    inputs.forEach((input, vin) => {
      if (watched.has(`${input.prevTxid}:${input.prevVout}`)) answer.spends.push({ txid, vin, ...input });
    });
    let found = false;
    tx.outs.forEach((output, vout) => {
      const script = toHex(output.script);
      const owner = ownerOfScript.get(script);
      if (owner === undefined) return;
      found = true;
      watched.add(`${txid}:${vout}`);
      answer.outputs.push({ txid, vout, amountSats: output.value, script, owner, coinbase });
    });
    if (found) {
      answer.transactions.push({
        txid,
        coinbase,
        inputs: inputs.map((input) => `${input.prevTxid}:${input.prevVout}`),
      });
    }
  }
  return answer;
}

/** Everything in the block that could be watched: every script short enough to be spent, every outpoint spent. */
export function everythingIn(bytes: Uint8Array): { scripts: string[]; outpoints: string[] } {
  const scripts = new Set<string>();
  const outpoints = new Set<string>();
  for (const tx of Block.fromBuffer(bytes).transactions ?? []) {
    for (const output of tx.outs) if (output.script.length <= 10_000) scripts.add(toHex(output.script));
    if (tx.isCoinbase()) continue;
    for (const input of tx.ins) outpoints.add(`${reversedHex(input.hash)}:${input.index}`);
  }
  return { scripts: [...scripts], outpoints: [...outpoints] };
}
