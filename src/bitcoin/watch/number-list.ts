import { invariant } from '../../platform/assert.js';

const INITIAL_LENGTH = 1024;

/** A list of numbers from 0 to 2^32 - 1 in four bytes each. */
export interface NumberList {
  readonly length: number;
  push(value: number): void;
  get(index: number): number;
  set(index: number, value: number): void;
}

export function createNumberList(): NumberList {
  let values = new Uint32Array(INITIAL_LENGTH);
  let length = 0;
  return {
    get length() {
      return length;
    },
    push(value) {
      if (length === values.length) {
        const grown = new Uint32Array(2 * values.length);
        grown.set(values);
        values = grown;
      }
      values[length++] = value;
    },
    get(index) {
      const value = values[index];
      invariant(index < length && value !== undefined, `there is no entry ${index}`);
      return value;
    },
    set(index, value) {
      invariant(index < length, `there is no entry ${index}`);
      values[index] = value;
    },
  };
}
