import * as ecc from '@bitcoinerlab/secp256k1';
import { BIP32Factory, type BIP32Interface } from 'bip32';
import { crypto, initEccLib, networks, payments, Psbt, toXOnly } from 'bitcoinjs-lib';

initEccLib(ecc);
const network = networks.regtest;

export type ScriptType = 'p2pkh' | 'p2wpkh' | 'p2sh-p2wpkh' | 'p2tr';
export const SCRIPT_TYPES: readonly ScriptType[] = ['p2pkh', 'p2wpkh', 'p2sh-p2wpkh', 'p2tr'];

export interface TestCoin {
  type: ScriptType;
  /** Whose key, by index. */
  index: number;
  txid: string;
  vout: number;
  amountSats: bigint;
  /** The transaction that made it; p2pkh signs nothing of its amount without it. */
  rawParent: Uint8Array;
}

/** A wallet of tests, made with bitcoinjs-lib's own signing: it shares no code with the built-in miner's. */
export function createTestWallet(seedByte = 9) {
  const root = BIP32Factory(ecc).fromSeed(Buffer.alloc(32, seedByte), network);
  const keyAt = (index: number): BIP32Interface => root.derive(index);

  function paymentOf(type: ScriptType, index: number) {
    const pubkey = keyAt(index).publicKey;
    switch (type) {
      case 'p2pkh':
        return payments.p2pkh({ pubkey, network });
      case 'p2wpkh':
        return payments.p2wpkh({ pubkey, network });
      case 'p2sh-p2wpkh':
        return payments.p2sh({ redeem: payments.p2wpkh({ pubkey, network }), network });
      case 'p2tr':
        return payments.p2tr({ internalPubkey: toXOnly(pubkey), network });
    }
  }

  function addressOf(type: ScriptType, index: number): string {
    const { address } = paymentOf(type, index);
    if (!address) throw new Error('no address');
    return address;
  }

  /** A signed transaction, hex. The fee is what is left over. */
  function spend(
    coins: readonly TestCoin[],
    outputs: readonly { address: string; amountSats: bigint }[],
    options: { sequence?: number; locktime?: number } = {},
  ): string {
    const psbt = new Psbt({ network });
    if (options.locktime !== undefined) psbt.setLocktime(options.locktime);
    for (const coin of coins) {
      const payment = paymentOf(coin.type, coin.index);
      const script = payment.output;
      if (!script) throw new Error('no script');
      const witnessUtxo = { script, value: coin.amountSats };
      psbt.addInput({
        hash: coin.txid,
        index: coin.vout,
        sequence: options.sequence ?? 0xfffffffd,
        ...(coin.type === 'p2pkh' ? { nonWitnessUtxo: coin.rawParent } : { witnessUtxo }),
        ...(coin.type === 'p2sh-p2wpkh' && payment.redeem?.output ? { redeemScript: payment.redeem.output } : {}),
        ...(coin.type === 'p2tr' ? { tapInternalKey: toXOnly(keyAt(coin.index).publicKey) } : {}),
      });
    }
    for (const { address, amountSats } of outputs) psbt.addOutput({ address, value: amountSats });
    for (const [input, coin] of coins.entries()) {
      const key = keyAt(coin.index);
      psbt.signInput(
        input,
        coin.type === 'p2tr' ? key.tweak(crypto.taggedHash('TapTweak', toXOnly(key.publicKey))) : key,
      );
    }
    psbt.finalizeAllInputs();
    // Fees are the business of the test: also absurd ones.
    return psbt.extractTransaction(true).toHex();
  }

  return { keyAt, addressOf, spend };
}
