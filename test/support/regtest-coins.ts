import { Transaction } from 'bitcoinjs-lib';
import { scriptOfAddress } from '../../src/bitcoin/regtest/address-script.js';
import type { RegtestChain } from '../../src/bitcoin/regtest/regtest-chain.js';
import type { createTestWallet, ScriptType, TestCoin } from './regtest-wallet.js';

/** Fails the test when the built-in chain refused. */
export function accepted<T extends object>(result: T): Exclude<T, { rejected: unknown }> {
  if ('rejected' in result) throw new Error(`refused: ${JSON.stringify(result)}`);
  return result as Exclude<T, { rejected: unknown }>;
}

/** Pays from the built-in miner to a key of the test wallet; the coin is in the mempool until a block is mined. */
export async function fundTestWallet(
  chain: RegtestChain,
  wallet: ReturnType<typeof createTestWallet>,
  { type, index, amountSats }: { type: ScriptType; index: number; amountSats: bigint },
): Promise<TestCoin> {
  const address = wallet.addressOf(type, index);
  const { txid } = accepted(await chain.pay({ address, amountSats }));
  return coinFrom(chain, { txid, address, type, index });
}

/** The coin that a transaction of the chain or its mempool pays to an address. */
export async function coinFrom(
  chain: RegtestChain,
  { txid, address, type, index }: { txid: string; address: string; type: ScriptType; index: number },
): Promise<TestCoin> {
  const found = await chain.findTransaction(txid);
  const script = scriptOfAddress(address);
  if (!found || 'rejected' in script) throw new Error(`no coin of ${txid} for ${address}`);
  const { outs } = Transaction.fromBuffer(found.raw);
  const vout = outs.findIndex((output) => Buffer.compare(output.script, script) === 0);
  const amountSats = outs[vout]?.value;
  if (amountSats === undefined) throw new Error(`transaction ${txid} does not pay ${address}`);
  return { type, index, txid, vout, amountSats, rawParent: found.raw };
}
