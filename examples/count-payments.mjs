/**
 * Counts on the chain what recipients got, and compares it with what was asked for:
 *
 *   BITCOIN_RPC_URL=http://user:password@127.0.0.1:8332 FROM_HEIGHT=870000 node examples/count-payments.mjs < asked.csv
 *   node examples/count-payments.mjs data/regtest/blk00000.dat < asked.csv
 *
 * asked.csv, from records of your own: a line `address,amountSats` for each payment; several to one address are several lines, and 0 is for an address
 * that must not have got anything. Raw blocks are read from a node, or from block files (blk*.dat, as the built-in chain and Bitcoin Core write them), and parsed with bitcoinjs-lib: nothing here knows the
 * ledger, its tables or its words. Every output to an address that is asked for counts, whoever paid it; coinbases do not.
 * BITCOIN_NETWORK: regtest (default), signet, testnet4, mainnet. CONFIRMATIONS: blocks that a payment must be deep, 1 by default.
 * Exit code 0: each got what was asked, once. 1: a line for each address says what differs. 2: it could not be counted.
 */
import * as ecc from '@bitcoinerlab/secp256k1';
import { address as codec, Block, initEccLib, networks } from 'bitcoinjs-lib';
import { readFileSync } from 'node:fs';
import { text } from 'node:stream/consumers';

initEccLib(ecc);
const NETWORKS = {
  regtest: { addresses: networks.regtest, magic: 'fabfb5da' },
  signet: { addresses: networks.testnet, magic: '0a03cf40' },
  testnet4: { addresses: networks.testnet, magic: '1c163f28' },
  mainnet: { addresses: networks.bitcoin, magic: 'f9beb4d9' },
};
const { BITCOIN_RPC_URL, BITCOIN_NETWORK = 'regtest', FROM_HEIGHT = '0', CONFIRMATIONS = '1' } = process.env;
const FROM = Number(FROM_HEIGHT);
const DEEP = Number(CONFIRMATIONS);
const files = process.argv.slice(2);

try {
  const network = NETWORKS[BITCOIN_NETWORK];
  if (network === undefined) throw new Error(`BITCOIN_NETWORK is none of ${Object.keys(NETWORKS).join(', ')}`);
  if (!Number.isInteger(FROM) || FROM < 0) throw new Error('FROM_HEIGHT is not a height');
  if (!Number.isInteger(DEEP) || DEEP < 1) throw new Error('CONFIRMATIONS is not 1 or more');
  if ((BITCOIN_RPC_URL === undefined) === (files.length === 0)) throw new Error('give BITCOIN_RPC_URL, or block files');
  const asked = readAsked(await text(process.stdin), network.addresses);
  const blocks = files.length > 0 ? blocksOfFiles(files, network.magic) : blocksOfNode(new URL(BITCOIN_RPC_URL));
  process.exitCode = report(asked, await count(asked, blocks));
} catch (error) {
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 2;
}

/** By script in hex: the address, what was asked for, and what arrived. */
function readAsked(csv, addresses) {
  const asked = new Map();
  for (const [index, line] of csv.split('\n').entries()) {
    if (line.trim() === '') continue;
    const [address, sats, ...rest] = line.split(',').map((field) => field.trim());
    if (rest.length > 0 || !/^(0|[1-9][0-9]*)$/.test(sats ?? ''))
      throw new Error(`line ${index + 1}: not address,amountSats`);
    const script = Buffer.from(codec.toOutputScript(address, addresses)).toString('hex');
    const entry = asked.get(script) ?? { address, asked: [], arrived: [] };
    if (sats !== '0') entry.asked.push(BigInt(sats));
    asked.set(script, entry);
  }
  return asked;
}

async function count(asked, blocks) {
  let tip;
  for await (const { block, height } of blocks) {
    // The first transaction is the coinbase: a miner's reward is no payment.
    for (const transaction of (block.transactions ?? []).slice(1)) {
      for (const { script, value } of transaction.outs) {
        asked.get(Buffer.from(script).toString('hex'))?.arrived.push({ value, height, txid: transaction.getId() });
      }
    }
    tip = { height, hash: block.getId() };
  }
  return tip;
}

function report(asked, tip) {
  let wrong = 0;
  let sum = 0n;
  for (const { address, asked: wanted, arrived } of asked.values()) {
    const missing = [...wanted];
    const extra = arrived.filter(({ value }) => {
      const at = missing.indexOf(value);
      if (at >= 0) missing.splice(at, 1);
      return at < 0;
    });
    sum += arrived.reduce((total, { value }) => total + value, 0n);
    if (missing.length === 0 && extra.length === 0) continue;
    wrong += 1;
    if (missing.length > 0) process.stdout.write(`${address}: not there: ${missing.join(', ')} sats\n`);
    for (const { value, height, txid } of extra) {
      process.stdout.write(`${address}: not asked for: ${value} sats in ${txid}, height ${height}\n`);
    }
  }
  const where = tip === undefined ? 'no block' : `height ${tip.height}, ${tip.hash}`;
  const said = wrong === 0 ? 'each got what was asked, once' : `${wrong} differ`;
  process.stdout.write(`${asked.size} addresses, ${sum} sats arrived up to ${where}: ${said}\n`);
  return wrong === 0 ? 0 : 1;
}

/** The node's best chain, block by block, each checked to build on the one before. */
async function* blocksOfNode(url) {
  const credentials = Buffer.from(`${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`);
  const call = async (method, ...params) => {
    const response = await fetch(url.origin + url.pathname, {
      method: 'POST',
      headers: { authorization: `Basic ${credentials.toString('base64')}`, 'content-type': 'application/json' },
      body: JSON.stringify({ jsonrpc: '1.0', id: 1, method, params }),
    });
    const body = await response.text();
    if (!body.startsWith('{')) throw new Error(`the node answered ${response.status}: ${body.slice(0, 200)}`);
    const { result, error } = JSON.parse(body);
    if (error) throw new Error(`${method}: ${error.message}`);
    return result;
  };
  const top = (await call('getblockcount')) - DEEP + 1;
  let before;
  for (let height = FROM; height <= top; height += 1) {
    const hash = await call('getblockhash', height);
    const block = Block.fromHex(await call('getblock', hash, 0));
    if (block.getId() !== hash) throw new Error(`the node gave another block than ${hash}`);
    if (before !== undefined && previousOf(block) !== before) throw new Error('the chain moved meanwhile: count again');
    before = hash;
    yield { block, height };
  }
}

/** The branch with the most work, the first that was written among equals. Genesis is height 0, wherever the file begins. */
function* blocksOfFiles(paths, magic) {
  const known = new Map();
  let best;
  for (const path of paths) {
    for (const raw of recordsOf(readFileSync(path), magic, path)) {
      const block = Block.fromBuffer(raw);
      const parent = known.get(previousOf(block));
      const height = parent === undefined ? 0 : parent.height + 1;
      const entry = { raw, parent, height, work: (parent?.work ?? 0n) + workOf(block.bits) };
      known.set(block.getId(), entry);
      if (best === undefined || entry.work > best.work) best = entry;
    }
  }
  const branch = [];
  for (let entry = best; entry !== undefined; entry = entry.parent) branch.push(entry);
  const top = (best?.height ?? 0) - DEEP + 1;
  for (const { raw, height } of branch.reverse()) {
    if (height >= FROM && height <= top) yield { block: Block.fromBuffer(raw), height };
  }
}

function* recordsOf(file, magic, path) {
  for (let at = 0; at + 8 <= file.length;) {
    const found = file.subarray(at, at + 4).toString('hex');
    // Bitcoin Core writes zeros ahead.
    if (found === '00000000') return;
    if (found !== magic) throw new Error(`${path}: at ${at} is no block of ${BITCOIN_NETWORK}`);
    const end = at + 8 + file.readUInt32LE(at + 4);
    // The last one is still being written.
    if (end > file.length) return;
    yield file.subarray(at + 8, end);
    at = end;
  }
}

function previousOf(block) {
  return Buffer.from(block.prevHash).reverse().toString('hex');
}

/** Hashes that it takes to find such a block, as every node counts them. */
function workOf(bits) {
  const target = BigInt(bits & 0x007fffff) << (8n * BigInt((bits >>> 24) - 3));
  return (1n << 256n) / (target + 1n);
}
