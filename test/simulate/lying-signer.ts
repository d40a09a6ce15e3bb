import * as ecc from '@bitcoinerlab/secp256k1';
import { crypto, initEccLib, Psbt, Transaction, type Signer } from 'bitcoinjs-lib';
import type { PsbtSigner, SignerAnswer, SigningRequest } from '../../src/bitcoin/payment/signer.js';
import type { Dice } from './dice.js';
import type { Evidence } from './evidence.js';
import { CallDice, type Faults } from './faults.js';
import type { SimulatedChain } from './simulated-chain.js';
import type { WalletKeys } from './wallet-keys.js';

initEccLib(ecc);

export interface LyingSignerParts {
  keysOf: (walletId: string) => WalletKeys;
  chain: SimulatedChain;
  evidence: Evidence;
  faults: () => Faults;
  say: (what: string) => void;
  assertAlive: () => void;
}

/** Holds the wallet's keys. Signs what it is asked, late, twice, wrongly, something else, or not at all, as the faults of the step say. */
export class LyingSigner implements PsbtSigner {
  readonly name = 'http';
  readonly #dice = new CallDice();
  /** The last good answer of all, to be given to somebody else. */
  #last: Uint8Array | undefined;
  #nonces = 0;

  constructor(private readonly parts: LyingSignerParts) {}

  async sign(request: SigningRequest): Promise<SignerAnswer> {
    const { assertAlive, faults, keysOf } = this.parts;
    const { payoutId, walletId, psbt } = request;
    const keys = keysOf(walletId);
    assertAlive();
    await new Promise((resolve) => setImmediate(resolve));
    const now = faults();
    const dice = this.#dice.for(now, payoutId, crypto.sha256(psbt).slice(0, 4).join());
    if (!dice.chance(now.signerTrouble)) return { kind: 'signed', signed: this.signFor(request, dice) };
    const another = this.#last;
    switch (
      dice.weighted({
        pending: 2,
        refused: 2,
        lost: 3,
        late: 2,
        sent: 2,
        another: 2,
        changed: 2,
        bad: 2,
        partial: 1,
        none: 1,
      })
    ) {
      case 'pending':
        return { kind: 'pending', detail: 'A person is asked.' };
      case 'refused':
        return { kind: 'refused', detail: 'Not today.' };
      case 'lost':
        this.signFor(request, dice);
        return { kind: 'unavailable', detail: 'No answer in time.' };
      case 'late':
        this.signFor(request, dice);
        return { kind: 'pending', detail: 'It is signed, and will be sent.' };
      case 'sent':
        this.#send(this.signFor(request, dice));
        return dice.chance(0.5)
          ? { kind: 'pending', detail: 'It was sent.' }
          : { kind: 'unavailable', detail: 'No answer in time.' };
      case 'another':
        return another === undefined ? { kind: 'pending', detail: 'Later.' } : { kind: 'signed', signed: another };
      case 'changed':
        return { kind: 'signed', signed: this.#changed(keys, psbt, dice) };
      case 'bad':
        return { kind: 'signed', signed: damaged(this.signFor(request, dice)) };
      case 'partial':
        return { kind: 'signed', signed: psbt };
      case 'none':
        return { kind: 'unavailable', detail: 'Nobody is there.' };
    }
  }

  /** Really signs what the ledger asked for, with nonces of its own each time. */
  signFor({ payoutId, walletId, psbt }: SigningRequest, dice: Dice): Uint8Array {
    const { chain, evidence, keysOf } = this.parts;
    const signed = this.#signAll(keysOf(walletId), psbt, dice);
    const hex = finalized(signed).toHex();
    const transaction = chain.learn(hex);
    if (transaction === undefined)
      evidence.violated(`payout ${payoutId} asked to sign a spend of coins that do not exist`);
    // Other signatures of a known txid are other bytes: each of them is one that may be sent.
    else evidence.signed.set(hex, { payoutId, transaction });
    this.#last = signed;
    return signed;
  }

  /** Broadcasts on its own what it has signed, as some do, and tells nobody. */
  #send(signed: Uint8Array): void {
    const { chain, evidence, say } = this.parts;
    const transaction = chain.learn(finalized(signed).toHex());
    if (transaction === undefined) throw new Error('what is signed spends coins that exist');
    const { txid, inputs } = transaction;
    chain.published.add(txid);
    evidence.sentBySigner.add(txid);
    say(`the signer sends ${txid.slice(0, 8)} by itself`);
    const isThere = inputs.every((outpoint) => chain.isUnspent(outpoint) || chain.mempool.has(outpoint.slice(0, 64)));
    if (isThere && chain.conflictsOf(transaction).length === 0) chain.admit(transaction);
  }

  /** The key of a coin, for a thief or for another machine that has the same key: a spend of coins that nobody asked for. */
  steal(
    walletId: string,
    outpoints: readonly string[],
    outputs: readonly { script: string; amountSats: bigint }[],
    dice: Dice,
  ): string {
    const { chain, keysOf } = this.parts;
    const keys = keysOf(walletId);
    const psbt = new Psbt();
    for (const outpoint of outpoints) {
      const [hash = '', index] = outpoint.split(':');
      const coin = chain.outputOf(outpoint);
      const parent = chain.known.get(hash);
      if (coin === undefined || parent === undefined) throw new Error(`there is no coin ${outpoint}`);
      psbt.addInput({
        hash,
        index: Number(index),
        sequence: 0xfffffffd,
        ...spending(keys, coin.script, parent.hex, coin.amountSats),
      });
    }
    for (const { script, amountSats } of outputs)
      psbt.addOutput({ script: Buffer.from(script, 'hex'), value: amountSats });
    return finalized(this.#signAll(keys, psbt.toBuffer(), dice)).toHex();
  }

  /** The same coins for somebody else. */
  #changed(keys: WalletKeys, psbt: Uint8Array, dice: Dice): Uint8Array {
    const changed = Psbt.fromBuffer(Buffer.from(psbt));
    const raw = Transaction.fromBuffer(changed.data.getTransaction());
    const [first] = raw.outs;
    if (first !== undefined) {
      if (dice.chance(0.5)) first.script = Buffer.from(`0014${'66'.repeat(20)}`, 'hex');
      else first.value -= 1n;
    }
    const rebuilt = new Psbt();
    rebuilt.setVersion(raw.version).setLocktime(raw.locktime);
    for (const [n, { hash, index, sequence }] of raw.ins.entries()) {
      rebuilt.addInput({ hash, index, sequence, ...changed.data.inputs[n] });
    }
    for (const { script, value } of raw.outs) rebuilt.addOutput({ script, value });
    return this.#signAll(keys, rebuilt.toBuffer(), dice);
  }

  #signAll(keys: WalletKeys, unsigned: Uint8Array, dice: Dice): Uint8Array {
    const psbt = Psbt.fromBuffer(Buffer.from(unsigned));
    const raw = Transaction.fromBuffer(psbt.data.getTransaction());
    for (const [n, input] of psbt.data.inputs.entries()) {
      const vout = raw.ins[n]?.index ?? 0;
      const coin =
        input.witnessUtxo ?? (input.nonWitnessUtxo && Transaction.fromBuffer(input.nonWitnessUtxo).outs[vout]);
      if (coin === undefined) throw new Error(`input ${n} says nothing of its coin`);
      const key = keys.keyOf(Buffer.from(coin.script).toString('hex'));
      const entropy = dice.chance(0.5) ? dice.bytes(32) : undefined;
      psbt.signInput(n, signerOf(keys, key, entropy));
    }
    this.#nonces += 1;
    return psbt.toBuffer();
  }
}

function spending(keys: WalletKeys, script: string, parent: string, value: bigint): object {
  const key = keys.keyOf(script);
  const { kind } = keys.payer.receive;
  const witnessUtxo = { script: Buffer.from(script, 'hex'), value };
  switch (kind) {
    case 'pkh':
      return { nonWitnessUtxo: Buffer.from(parent, 'hex') };
    case 'wpkh':
      return { witnessUtxo };
    case 'sh-wpkh':
      return {
        witnessUtxo,
        redeemScript: Buffer.from(`0014${Buffer.from(crypto.hash160(key.publicKey)).toString('hex')}`, 'hex'),
      };
    case 'tr':
      return { witnessUtxo, tapInternalKey: key.publicKey.slice(1, 33) };
  }
}

function signerOf(keys: WalletKeys, key: ReturnType<WalletKeys['keyOf']>, entropy: Uint8Array | undefined): Signer {
  const isTaproot = keys.payer.receive.kind === 'tr';
  if (key.privateKey === undefined) throw new Error('a key to sign with is private');
  if (isTaproot) return taprootSigner(key.publicKey, key.privateKey, entropy);
  const { publicKey, privateKey } = key;
  return { publicKey, sign: (digest) => ecc.sign(digest, privateKey, entropy) };
}

/** BIP341: of the two keys with this x the one with an even y, tweaked by itself. */
function taprootSigner(publicKey: Uint8Array, privateKey: Uint8Array, entropy: Uint8Array | undefined): Signer {
  const even = publicKey[0] === 0x02 ? privateKey : ecc.privateNegate(privateKey);
  const tweaked = ecc.privateAdd(even, crypto.taggedHash('TapTweak', publicKey.slice(1, 33)));
  const output = tweaked && ecc.pointFromScalar(tweaked, true);
  if (!tweaked || !output) throw new Error('a taproot tweak has a key');
  return {
    publicKey: output,
    sign: (digest) => ecc.sign(digest, tweaked, entropy),
    signSchnorr: (digest) => ecc.signSchnorr(digest, tweaked, entropy),
  };
}

function finalized(signed: Uint8Array): Transaction {
  return Psbt.fromBuffer(Buffer.from(signed)).finalizeAllInputs().extractTransaction(true);
}

/** One bit of a signature is another. */
function damaged(signed: Uint8Array): Uint8Array {
  const psbt = Psbt.fromBuffer(Buffer.from(signed));
  const [input] = psbt.data.inputs;
  const bytes = input?.partialSig?.[0]?.signature ?? input?.tapKeySig;
  if (bytes === undefined) throw new Error('there is a signature to damage');
  const at = 20;
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  return psbt.toBuffer();
}
