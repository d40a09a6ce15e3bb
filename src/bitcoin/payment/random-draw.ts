import type { Choice } from './branch-and-bound.js';
import { at, type CoinPool } from './coin-pool.js';
import { drawDistinct, type Random } from './random-order.js';
import {
  addCoin,
  removeCoin,
  settle,
  weightWithoutChange,
  type SelectionTarget,
  type Settlement,
} from './selection-target.js';

/** Change of at least this is drawn for, where the coins allow: smaller change is soon a coin that nobody wants (Bitcoin Core, `CHANGE_LOWER`). */
const WANTED_CHANGE_SATS = 50_000;

/** Draws for each input that there may be: then the least valuable were replaced often enough to know that it leads nowhere. */
const DRAWS_PER_INPUT = 4;

/**
 * Single random draw (Bitcoin Core, coinselection.cpp, `SelectCoinsSRD`): coins at random until they pay with change that is
 * worth having. Where they get too many or too heavy the least valuable goes. It tells nobody what the wallet holds, and spends
 * coins of all sizes, so that small ones do not pile up.
 *
 * @returns undefined where what was drawn does not suffice
 */
export function randomDraw(pool: CoinPool, target: SelectionTarget, random: Random): Choice | undefined {
  const draw = drawDistinct(pool.size, random);
  const draws = Math.min(pool.size, DRAWS_PER_INPUT * target.maxInputs);
  const picked: number[] = [];
  const totals = { ...target.kept };
  let settlement: Settlement | undefined;
  for (let drawn = 0; drawn < draws; drawn++) {
    const coin = draw();
    picked.push(coin);
    addCoin(totals, at(pool.sats, coin), at(pool.weight, coin));
    while (
      picked.length > 0 &&
      (totals.inputs > target.maxInputs || weightWithoutChange(target, totals) > target.maxWeight)
    ) {
      const [least] = picked.splice(placeOfLeast(picked, pool), 1);
      if (least === undefined) break;
      removeCoin(totals, at(pool.sats, least), at(pool.weight, least));
    }
    settlement = settle(target, totals);
    if (settlement !== undefined && settlement.changeSats >= WANTED_CHANGE_SATS) break;
  }
  return settlement && { picked, settlement };
}

function placeOfLeast(picked: readonly number[], { effective }: CoinPool): number {
  let least = 0;
  for (let place = 1; place < picked.length; place++) {
    if (at(effective, picked[place] ?? 0) < at(effective, picked[least] ?? 0)) least = place;
  }
  return least;
}
