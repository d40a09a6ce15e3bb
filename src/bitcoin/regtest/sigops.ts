import type { Transaction } from 'bitcoinjs-lib';

const OP_PUSHDATA1 = 0x4c;
const OP_PUSHDATA2 = 0x4d;
const OP_PUSHDATA4 = 0x4e;
const OP_CHECKSIG = 0xac;
const OP_CHECKSIGVERIFY = 0xad;
const OP_CHECKMULTISIG = 0xae;
const OP_CHECKMULTISIGVERIFY = 0xaf;
/** What a CHECKMULTISIG counts as where the number of keys is not known. */
const MAX_KEYS_PER_MULTISIG = 20;

/**
 * Signature operations in all scriptSigs and outputs, counted as blocks have counted them since the beginning
 * (Bitcoin Core, `GetLegacySigOpCount`): also in outputs that are never spent, and up to where a script stops to make sense.
 */
export function countLegacySigops(tx: Transaction): number {
  let count = 0;
  for (const input of tx.ins) count += countIn(input.script);
  for (const output of tx.outs) count += countIn(output.script);
  return count;
}

function countIn(script: Uint8Array): number {
  const view = new DataView(script.buffer, script.byteOffset, script.byteLength);
  let count = 0;
  let at = 0;
  while (at < script.length) {
    const opcode = view.getUint8(at);
    at += 1;
    if (opcode <= OP_PUSHDATA4) {
      const width = opcode < OP_PUSHDATA1 ? 0 : opcode === OP_PUSHDATA1 ? 1 : opcode === OP_PUSHDATA2 ? 2 : 4;
      if (at + width > script.length) return count;
      at += width + pushLength(view, at, opcode);
    } else if (opcode === OP_CHECKSIG || opcode === OP_CHECKSIGVERIFY) {
      count += 1;
    } else if (opcode === OP_CHECKMULTISIG || opcode === OP_CHECKMULTISIGVERIFY) {
      count += MAX_KEYS_PER_MULTISIG;
    }
  }
  return count;
}

function pushLength(view: DataView, at: number, opcode: number): number {
  switch (opcode) {
    case OP_PUSHDATA1:
      return view.getUint8(at);
    case OP_PUSHDATA2:
      return view.getUint16(at, true);
    case OP_PUSHDATA4:
      return view.getUint32(at, true);
    default:
      return opcode;
  }
}
