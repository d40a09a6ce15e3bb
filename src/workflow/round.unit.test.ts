import { describe, expect, it } from 'vitest';
import { RetryableError } from '../platform/errors.js';
import { Agenda } from './agenda.js';
import { runRound, type RoundParts, type RoundState } from './round.js';

/** Questions that a round asks of the read models, with what happens while each is answered. */
type Question = 'waitFor' | 'payoutsToFinish' | 'duePayouts' | 'openPayouts' | 'walletsWithWaiting';

function newState(): RoundState {
  return {
    due: undefined,
    sweep: undefined,
    endsToDo: false,
    walletsNotBefore: new Map(),
    walletsToDo: false,
    walletsAfter: new Map(),
    failures: new Map(),
  };
}

/** A ledger in which nothing is to be done. */
function createParts(during: (question: Question) => void): { parts: RoundParts; asked: Question[] } {
  const asked: Question[] = [];
  const answer = <T>(question: Question, value: T): Promise<T> => {
    asked.push(question);
    during(question);
    return Promise.resolve(value);
  };
  const parts = {
    agenda: new Agenda(),
    now: () => 0,
    written: { position: 1n },
    work: {
      waitFor: () => answer('waitFor', 1n),
      payoutsToFinish: () => answer('payoutsToFinish', []),
      withdrawalsToFinish: () => Promise.resolve([]),
      duePayouts: () => answer('duePayouts', []),
      openPayouts: () => answer('openPayouts', []),
      walletsWithWaiting: () => answer('walletsWithWaiting', []),
    },
  };
  return { parts: parts as unknown as RoundParts, asked };
}

describe('a round', () => {
  it.each<Question>(['waitFor', 'payoutsToFinish', 'duePayouts', 'openPayouts', 'walletsWithWaiting'])(
    'leaves what is noticed during %s to the next one, whose read models know of it',
    async (moment) => {
      const state = { ...newState(), due: { after: null }, sweep: { after: null }, endsToDo: true };
      let isNoticed = false;
      const { parts, asked } = createParts((question) => {
        if (question !== moment || isNoticed) return;
        isNoticed = true;
        Object.assign(state, { due: { after: null }, sweep: { after: null }, endsToDo: true });
      });
      // There is more to do now.
      expect(await runRound(parts, state)).toBe(0);
      expect(isNoticed).toBe(true);
      asked.length = 0;
      await runRound(parts, state);
      expect(asked).toEqual(expect.arrayContaining(['payoutsToFinish', 'duePayouts', 'openPayouts']));
      asked.length = 0;
      await runRound(parts, state);
      expect(asked).toEqual(['waitFor', 'walletsWithWaiting']);
    },
  );

  it('that failed leaves everything to the next one', async () => {
    const state = { ...newState(), due: { after: 'a' }, sweep: { after: 'b' }, endsToDo: true };
    const { parts } = createParts((question) => {
      if (question === 'openPayouts') throw new RetryableError('the database is away');
    });
    await expect(runRound(parts, state)).rejects.toThrow('away');
    expect(state).toMatchObject({ sweep: { after: 'b' }, due: { after: 'a' }, endsToDo: true });
  });
});
