import type { NetworkName } from '../network.js';
import type {
  BlockHeader,
  BlockInvalid,
  FoundOutput,
  FoundSpend,
  FoundTransaction,
  OutpointSet,
  ScannedBlock,
} from '../scan-types.js';
import { byteAt, hashHex, hex, u32At, u64At } from './bytes.js';
import { hashBlock, type BlockHashes } from './hash-block.js';
import { createOutpointSet } from './outpoint-set.js';
import { checkProofOfWork, HEADER_BYTES, parseHeader, powLimitOf } from './parse-header.js';
import { MAX_BLOCK_BYTES, readBlock, type BlockLayout, type Watched } from './read-block.js';
import { sha256d } from './sha256d.js';

/** The sets are not changed: what the block creates and spends is for the caller to add and delete. */
export interface ScanOptions extends Watched {
  network: NetworkName;
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
  const layout = readBlock(bytes, options);
  if (layout.kind === 'invalid') return layout;
  const hashes = hashBlock(bytes, layout);
  return checkRoots(bytes, header, layout, hashes) ?? collect(bytes, header, layout, hashes);
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
): ScannedBlock | BlockInvalid {
  const { transactionCount } = layout;
  const found: Found = {
    outputs: [],
    spends: [],
    transactions: [],
    created: createOutpointSet(),
    spent: createOutpointSet(),
  };
  const cursor = { match: 0, spend: 0 };
  const concernsUs = layout.matches.length > 0 || layout.spends.length > 0;
  for (let i = 0; concernsUs && i < transactionCount; i++) {
    const trouble =
      collectSpends(bytes, layout, hashes, found, i, cursor) ?? collectOutputs(bytes, layout, hashes, found, i, cursor);
    if (trouble) return trouble;
  }
  const { outputs, spends, transactions } = found;
  return { kind: 'scanned', header, size: bytes.length, transactionCount, outputs, spends, transactions };
}

interface Found {
  outputs: FoundOutput[];
  spends: FoundSpend[];
  transactions: FoundTransaction[];
  /** Outpoints of `outputs`: watched for the rest of the block. */
  created: OutpointSet;
  /** Outpoints of `spends`. */
  spent: OutpointSet;
}

/** The next entries of `matches` and `spends` in the layout, which are in block order. */
interface Next {
  match: number;
  spend: number;
}

function collectSpends(
  bytes: Uint8Array,
  layout: BlockLayout,
  hashes: BlockHashes,
  found: Found,
  transaction: number,
  next: Next,
): BlockInvalid | undefined {
  const first = layout.firstInputs[transaction] ?? 0;
  const end = layout.firstInputs[transaction + 1] ?? 0;
  for (let input = first; input < end; input++) {
    const at = layout.inputs[input] ?? 0;
    if (layout.spends[next.spend] === input) next.spend++;
    else if (!found.created.hasBytes(bytes, at)) continue;
    const [prevTxid, prevVout] = [hashHex(bytes, at), u32At(bytes, at + 32)];
    if (found.spent.has(prevTxid, prevVout)) return invalid('double-spend', `${prevTxid}:${prevVout} is spent twice`);
    found.spent.add(prevTxid, prevVout);
    found.spends.push({ txid: hashes.txid(transaction), vin: input - first, prevTxid, prevVout });
  }
  return undefined;
}

function collectOutputs(
  bytes: Uint8Array,
  layout: BlockLayout,
  hashes: BlockHashes,
  found: Found,
  transaction: number,
  next: Next,
): BlockInvalid | undefined {
  const { matches, firstInputs } = layout;
  if (matches[next.match]?.transaction !== transaction) return undefined;
  const txid = hashes.txid(transaction);
  const coinbase = transaction === 0;
  const inputs = layout.inputs.subarray(firstInputs[transaction], firstInputs[transaction + 1]);
  const spent = coinbase ? [] : Array.from(inputs, (at) => `${hashHex(bytes, at)}:${u32At(bytes, at + 32)}`);
  found.transactions.push({ txid, coinbase, inputs: spent });
  for (let match = matches[next.match]; match?.transaction === transaction; match = matches[++next.match]) {
    const { vout, owner, offset, scriptOffset, scriptLength } = match;
    if (found.created.has(txid, vout)) return invalid('duplicate-transactions', `${txid} is there twice`);
    found.created.add(txid, vout);
    const script = hex(bytes, scriptOffset, scriptLength);
    found.outputs.push({ txid, vout, amountSats: u64At(bytes, offset), script, owner, coinbase });
  }
  return undefined;
}
