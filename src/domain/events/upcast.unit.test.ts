import { describe, expect, it } from 'vitest';
import { EVENT_TYPES } from './event-types.js';
import { createUpcaster, eventUpcaster, UnknownEventVersionError } from './upcast.js';

/** An invented history: amounts were numbers in bitcoin first, then satoshis, then strings with a memo. */
const upcaster = createUpcaster(
  { TipPaid: 3, TipRefused: 1 },
  {
    TipPaid: {
      1: (data) => {
        const { amountBtc } = data as { amountBtc: number };
        return { amountSats: Math.round(amountBtc * 1e8) };
      },
      2: (data) => {
        const { amountSats } = data as { amountSats: number };
        return { amountSats: String(amountSats), memo: null };
      },
    },
  },
);

describe('upcasting', () => {
  it('brings every old version up to date, one step after the other', () => {
    const today = { amountSats: '150000000', memo: null };
    expect(upcaster.upcast('TipPaid', 1, { amountBtc: 1.5 })).toEqual(today);
    expect(upcaster.upcast('TipPaid', 2, { amountSats: 150_000_000 })).toEqual(today);
    expect(upcaster.upcast('TipPaid', 3, today)).toBe(today);
  });

  it.each([
    ['TipPaid', 4, /TipPaid has schema version 4, this program knows versions 1 to 3/],
    ['TipPaid', 0, /TipPaid has schema version 0/],
    ['TipLost', 1, /TipLost has schema version 1, this program does not know that type/],
    ['constructor', 1, /does not know that type/],
  ])('refuses %s of version %i by name instead of passing it on', (type, version, message) => {
    expect(() => upcaster.upcast(type, version, {})).toThrow(UnknownEventVersionError);
    expect(() => upcaster.upcast(type, version, {})).toThrow(message);
  });

  it('does not start with a step missing', () => {
    expect(() => createUpcaster({ TipPaid: 3 }, { TipPaid: { 1: (data) => data } })).toThrow(/version 2/);
  });

  it('knows every event of the ledger at its current version', () => {
    for (const [type, { schemaVersion }] of Object.entries(EVENT_TYPES)) {
      expect(eventUpcaster.currentVersion(type)).toBe(schemaVersion);
    }
  });
});
