import { Dice } from './dice.js';

/** What goes wrong at the moment. All of it is chosen by seed and step, and by what is asked, never by the order of asking. */
export interface Faults {
  seed: number;
  step: number;
  /** False: everybody tells the truth. */
  lies: boolean;
  nodeAway: boolean;
  fees: 'usual' | 'zero' | 'huge' | 'none';
  /** The least that the node takes, satoshis per 1000 vbytes. */
  minimumSatsPerKvb: bigint;
  /** How often a call to the node goes wrong. */
  nodeTrouble: number;
  signerTrouble: number;
}

export const noFaults = (seed: number, step: number): Faults => ({
  seed,
  step,
  lies: false,
  nodeAway: false,
  fees: 'usual',
  minimumSatsPerKvb: 1_000n,
  nodeTrouble: 0,
  signerTrouble: 0,
});

export function chooseFaults(seed: number, step: number): Faults {
  const dice = new Dice(seed, step, 'faults');
  // Half of the time the world is as it should be: else nothing ever gets far.
  if (dice.chance(0.5)) return { ...noFaults(seed, step), lies: true };
  return {
    seed,
    step,
    lies: true,
    nodeAway: dice.chance(0.1),
    fees: dice.weighted({ usual: 6, zero: 1, huge: 1, none: 1 }),
    minimumSatsPerKvb: dice.chance(0.1) ? 20_000n : 1_000n,
    nodeTrouble: dice.pick([0, 0.3, 0.8]),
    signerTrouble: dice.pick([0, 0.3, 0.8]),
  };
}

/** The choices of one call: the same for the same question in the same step, and others when it is asked again. */
export class CallDice {
  #step = -1;
  readonly #asked = new Map<string, number>();

  for({ seed, step }: Faults, ...question: readonly string[]): Dice {
    if (step !== this.#step) this.#asked.clear();
    this.#step = step;
    const key = question.join(' ');
    const times = (this.#asked.get(key) ?? 0) + 1;
    this.#asked.set(key, times);
    return new Dice(seed, step, key, times);
  }
}
