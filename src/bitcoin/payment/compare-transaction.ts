import type { Transaction } from 'bitcoinjs-lib';
import type { PlannedTransaction } from '../../domain/events/payout-events.js';
import { outpointOf } from './unsigned-transaction.js';

/** What differs from what was asked, named so that a person can find it. */
export interface Mismatch {
  field:
    | 'format'
    | 'version'
    | 'locktime'
    | 'inputs'
    | 'input-order'
    | 'sequence'
    | 'outputs'
    | 'output-order'
    | 'script'
    | 'amount'
    | 'signature'
    | 'txid'
    | 'weight';
  detail: string;
}

/** Named at most: of a transaction that has nothing in common with the planned one, the first say enough. */
export const MAX_MISMATCHES = 20;

/** Every difference between a transaction and the planned one, signatures apart. Empty where it is the one that was asked for. */
export function compareTransaction(planned: PlannedTransaction, tx: Transaction): Mismatch[] {
  const mismatches: Mismatch[] = [];
  const note = (field: Mismatch['field'], detail: string): void => void mismatches.push({ field, detail });
  if (tx.version >>> 0 !== planned.version >>> 0) {
    note('version', `version ${tx.version >>> 0} instead of ${planned.version}`);
  }
  if (tx.locktime !== planned.locktime) note('locktime', `lock time ${tx.locktime} instead of ${planned.locktime}`);
  compareInputs(planned, tx, note);
  compareOutputs(planned, tx, note);
  return mismatches.slice(0, MAX_MISMATCHES);
}

type Note = (field: Mismatch['field'], detail: string) => void;

function compareInputs(planned: PlannedTransaction, tx: Transaction, note: Note): void {
  const wanted = planned.inputs.map(outpointOf);
  const found = tx.ins.map(({ hash, index }) => `${Buffer.from(hash).reverse().toString('hex')}:${index}`);
  if (!sameList(wanted, found)) {
    if (sameList(wanted.toSorted(), found.toSorted())) return note('input-order', 'the inputs are in another order');
    const added = found.filter((outpoint) => !wanted.includes(outpoint));
    const missing = wanted.filter((outpoint) => !found.includes(outpoint));
    for (const outpoint of added) note('inputs', `spends ${outpoint}, which was not asked for`);
    for (const outpoint of missing) note('inputs', `does not spend ${outpoint}`);
    if (added.length + missing.length === 0) note('inputs', 'an input is there more than once');
    return;
  }
  for (const [index, { sequence }] of planned.inputs.entries()) {
    const given = tx.ins[index]?.sequence;
    if (given !== sequence) note('sequence', `input ${index} has sequence ${given} instead of ${sequence}`);
  }
}

function compareOutputs(planned: PlannedTransaction, tx: Transaction, note: Note): void {
  const wanted = planned.outputs.map(({ script, amountSats }) => `${script}:${amountSats}`);
  const found = tx.outs.map(({ script, value }) => `${Buffer.from(script).toString('hex')}:${value}`);
  if (sameList(wanted, found)) return;
  if (found.length !== wanted.length) {
    return note('outputs', `${found.length} outputs instead of ${wanted.length}`);
  }
  if (sameList(wanted.toSorted(), found.toSorted())) return note('output-order', 'the outputs are in another order');
  for (const [index, { script, amountSats }] of planned.outputs.entries()) {
    const output = tx.outs[index];
    const given = Buffer.from(output?.script ?? []).toString('hex');
    if (given !== script) note('script', `output ${index} pays ${given.slice(0, 100)} instead of ${script}`);
    else if (output?.value !== BigInt(amountSats)) {
      note('amount', `output ${index} pays ${output?.value} satoshis instead of ${amountSats}`);
    }
  }
}

function sameList(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((item, index) => item === b[index]);
}
