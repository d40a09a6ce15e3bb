import { reject, type Rejection } from '../rejection.js';

/** @param availableSats may be below zero, where a reorg took a credit away; shown as 0 */
export function insufficientFunds(accountId: string, availableSats: bigint): Rejection {
  const shown = availableSats > 0n ? availableSats : 0n;
  return reject('insufficient-funds', `Account '${accountId}' has ${shown} satoshis available.`);
}
