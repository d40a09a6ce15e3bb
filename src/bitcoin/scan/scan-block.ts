import type { NetworkName } from '../network.js';
import type {
  BlockHeader,
  BlockInvalid,
  FoundOutput,
  FoundSpend,
  FoundTransaction,
  OutpointSet,
  ScannedBlock,
  ScriptSet,
} from '../scan-types.js';
import { byteAt, hashHex, hex, u32At, u64At } from './bytes.js';
import { hashBlock, type BlockHashes } from './hash-block.js';
import { createOutpointSet } from './outpoint-set.js';
import { checkProofOfWork, HEADER_BYTES, parseHeader, powLimitOf } from './parse-header.js';
import { MAX_BLOCK_BYTES, readBlock, type BlockLayout } from './read-block.js';
import { sha256d } from './sha256d.js';

export interface ScanOptions {
  network: NetworkName;
  scripts: ScriptSet;
  /** Not changed: what the block creates and spends is for the caller to add and delete. */
  outpoints: OutpointSet;
}

/** One push of 32 bytes is the whole witness of a coinbase: stack size, item size, item (BIP141). */
const COINBASE_WITNESS_BYTES = 1 + 1 + 32;

const invalid = (reason: BlockInvalid['reason'], detail: string): BlockInvalid => ({ kind: 'invalid', reason, detail });

/**
 * Finds every output of a raw block that pays a watched script, and every input that spends a watched outpoint; an output
 * found is watched for the rest of the block. Checks proof of work, Merkle root, witness commitment (BIP141), weight, and the
 * form of every transaction. Does not check scripts, signatures, signet's challenge, values against inputs, or that `bits` is what the
 * chain asks for: that is the node's business, and the follower's.
 *
 * Never throws, whatever the bytes are.
 */
export function scanBlock(bytes: Uint8Array, options: ScanOptions): ScannedBlock | BlockInvalid {
  if (bytes.length > MAX_BLOCK_BYTES) return invalid('too-large', `${bytes.length} bytes`);
  if (bytes.length < HEADER_BYTES) return invalid('truncated', `${bytes.length} bytes are less than a header`);
  const header = parseHeader(bytes);
  if (!checkProofOfWork(header, powLimitOf(options.network))) {
    return invalid('proof-of-work', `hash ${header.hash} is not below the target of bits ${header.bits.toString(16)}`);
  }
  const layout = readBlock(bytes, options.scripts);
  if (layout.kind === 'invalid') return layout;
  const hashes = hashBlock(bytes, layout);
  return checkRoots(bytes, header, layout, hashes) ?? collect(bytes, header, layout, hashes, options.outpoints);
}

function checkRoots(
  bytes: Uint8Array,
  header: BlockHeader,
  layout: BlockLayout,
  hashes: BlockHashes,
): BlockInvalid | undefined {
  const root = hashHex(hashes.merkleRoot, 0);
  if (root !== header.merkleRoot) return invalid('merkle-root', `${root} is not the header's ${header.merkleRoot}`);
  if (hashes.duplicates) return invalid('duplicate-transactions', 'equal neighbours in the Merkle tree');
  // A commitment without witness data is not wrong: before segwit was active, blocks carried it for practice, and a
  // block that was stripped of its witness data pays and spends the same.
  if (hashes.witnessRoot === undefined) return undefined;
  if (layout.commitment === -1) return invalid('witness-commitment', 'witness data without a commitment');
  const coinbaseEnd = layout.ends[0] ?? 0;
  const witness = layout.bodyEnds[0] ?? 0;
  const reserved =
    coinbaseEnd - witness === COINBASE_WITNESS_BYTES + 4 &&
    byteAt(bytes, witness) === 1 &&
    byteAt(bytes, witness + 1) === 32;
  if (!reserved) return invalid('witness-commitment', 'the coinbase has no reserved value of 32 bytes');
  const reservedValue = bytes.subarray(witness + 2, witness + 2 + 32);
  const expected = hashHex(sha256d(Buffer.concat([hashes.witnessRoot, reservedValue])), 0);
  const committed = hashHex(bytes, layout.commitment);
  if (expected !== committed) return invalid('witness-commitment', `${expected} is not the coinbase's ${committed}`);
  return undefined;
}

/** Turns matches into what the caller wants to know: from here on there are objects, for what concerns us only. */
function collect(
  bytes: Uint8Array,
  header: BlockHeader,
  layout: BlockLayout,
  hashes: BlockHashes,
  outpoints: OutpointSet,
): ScannedBlock | BlockInvalid {
  const { inputs, firstInputs, transactionCount, matches } = layout;
  const outputs: FoundOutput[] = [];
  const spends: FoundSpend[] = [];
  const transactions: FoundTransaction[] = [];
  const created = createOutpointSet();
  const spent = createOutpointSet();
  let nextMatch = 0;
  for (let i = 0; i < transactionCount; i++) {
    const first = firstInputs[i] ?? 0;
    const end = firstInputs[i + 1] ?? 0;
    for (let input = first; i > 0 && input < end; input++) {
      const at = inputs[input] ?? 0;
      if (!outpoints.hasBytes(bytes, at) && !created.hasBytes(bytes, at)) continue;
      const [prevTxid, prevVout] = [hashHex(bytes, at), u32At(bytes, at + 32)];
      if (spent.has(prevTxid, prevVout)) return invalid('double-spend', `${prevTxid}:${prevVout} is spent twice`);
      spent.add(prevTxid, prevVout);
      spends.push({ txid: hashes.txid(i), vin: input - first, prevTxid, prevVout });
    }
    if (matches[nextMatch]?.transaction !== i) continue;

    const txid = hashes.txid(i);
    const coinbase = i === 0;
    const spentBy = Array.from(inputs.subarray(first, end), (at) => `${hashHex(bytes, at)}:${u32At(bytes, at + 32)}`);
    transactions.push({ txid, coinbase, inputs: coinbase ? [] : spentBy });
    for (let match = matches[nextMatch]; match?.transaction === i; match = matches[++nextMatch]) {
      const { vout, owner, offset, scriptOffset, scriptLength } = match;
      if (created.has(txid, vout)) return invalid('duplicate-transactions', `${txid} is there twice`);
      created.add(txid, vout);
      const script = hex(bytes, scriptOffset, scriptLength);
      outputs.push({ txid, vout, amountSats: u64At(bytes, offset), script, owner, coinbase });
    }
  }
  return { kind: 'scanned', header, size: bytes.length, transactionCount, outputs, spends, transactions };
}
