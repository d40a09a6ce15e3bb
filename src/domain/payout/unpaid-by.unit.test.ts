import { expect, it } from 'vitest';
import { paid } from '../../../test/support/payout-cases.js';
import { unpaidBy } from './unpaid-by.js';

const A = paid(1);
const output = { script: A.script, amountSats: 10_000n };

it('one output pays one withdrawal, with its script and its exact amount', () => {
  expect(unpaidBy([output], [A])).toEqual([]);
  expect(unpaidBy([{ ...output, amountSats: 10_001n }], [A])).toEqual(['w1']);
  expect(unpaidBy([{ ...output, script: paid(2).script }], [A])).toEqual(['w1']);
  const same = { ...A, withdrawalId: 'w1-again' };
  expect(unpaidBy([output], [A, same])).toEqual(['w1-again']);
  expect(unpaidBy([output, output], [A, same])).toEqual([]);
});
