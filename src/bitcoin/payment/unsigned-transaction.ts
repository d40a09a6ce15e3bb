import { Transaction } from 'bitcoinjs-lib';
import type { PlannedTransaction } from '../../domain/events/payout-events.js';

/** The bytes of a hash as they stand in transactions, from the hex that people read. */
export function hashBytes(hex: string): Buffer {
  return Buffer.from(hex, 'hex').reverse();
}

export function outpointOf({ txid, vout }: { txid: string; vout: number }): string {
  return `${txid}:${vout}`;
}

/** The planned transaction without signatures: the one form that everything signed is held against. */
export function unsignedTransaction(planned: PlannedTransaction): Transaction {
  const tx = new Transaction();
  tx.version = planned.version;
  tx.locktime = planned.locktime;
  for (const { txid, vout, sequence } of planned.inputs) tx.addInput(hashBytes(txid), vout, sequence);
  for (const { script, amountSats } of planned.outputs) tx.addOutput(Buffer.from(script, 'hex'), BigInt(amountSats));
  return tx;
}

/** Coins less outputs, both as planned: never what a PSBT or a node claims (bitcoinjs-lib #2346, #2347). */
export function plannedFee({ inputs, outputs }: PlannedTransaction): bigint {
  const sum = (parts: readonly { amountSats: string }[]): bigint =>
    parts.reduce((total, { amountSats }) => total + BigInt(amountSats), 0n);
  return sum(inputs) - sum(outputs);
}
