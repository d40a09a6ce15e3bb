import type { Found } from './events/chain-events.js';
import type { DomainEvent } from './events/event-types.js';
import type { Book, Posting } from './postings.js';

/**
 * The postings of an event: the one definition of what moves money and how. They sum to zero.
 *
 * @param event the fact itself
 * @param found what the block holds for us, all parts joined; for a disconnect, of the block that is undone. Needed for
 *   `BlockConnected` and `BlockDisconnected`, ignored elsewhere
 */
export function postingsOf(event: DomainEvent, found: Found | undefined): Posting[] {
  switch (event.type) {
    case 'TransferSent':
    case 'FundsReserved':
    case 'FundsReleased':
    case 'WithdrawalSettled':
    case 'PayoutSettled':
    case 'PayoutClosed':
    case 'PayoutResolved':
      return event.data.postings.map(({ book, amountSats }) => ({
        book: book as Book,
        amountSats: BigInt(amountSats),
      }));
    case 'BlockConnected':
      return found === undefined ? [] : postingsOfFound(found);
    case 'BlockDisconnected':
      return found === undefined ? [] : postingsOfFound(found).map(negated);
    case 'AccountOpened':
    case 'WalletCreated':
    case 'AddressIssued':
    case 'ScriptWatched':
    case 'ChainOpened':
    case 'DepositPolicySet':
    case 'TransfersFound':
    case 'WithdrawalAssigned':
    case 'WithdrawalDeferred':
    case 'WithdrawalCancelled':
    case 'WithdrawalFailed':
    case 'CoinsReserved':
    case 'CoinsReleased':
    case 'PayoutStarted':
    case 'WithdrawalRemoved':
    case 'CandidatePrepared':
    case 'CandidateSigned':
    case 'CandidateOffered':
    case 'PayoutDeferred':
    case 'BumpRequested':
    case 'BumpRefused':
    case 'PayoutHalted':
    case 'PayoutResumed':
    case 'PayoutCancelled':
      return [];
  }
}

/**
 * Received: debit the wallet, credit the account, or the house where the script is nobody's; change of a payment of ours comes
 * back from transit. Spent: credit the wallet, debit transit for a payment of ours, and suspense where the transaction is not ours.
 */
function postingsOfFound(found: Found): Posting[] {
  const postings: Posting[] = [];
  for (const { walletId, accountId, amountSats, payoutId } of found.received) {
    const amount = BigInt(amountSats);
    const from: Book = payoutId !== null ? 'transit' : accountId === null ? 'house' : `account:${accountId}`;
    postings.push({ book: `wallet:${walletId}`, amountSats: amount });
    postings.push({ book: from, amountSats: -amount });
  }
  for (const { walletId, amountSats, payoutId } of found.spent) {
    const amount = BigInt(amountSats);
    postings.push({ book: `wallet:${walletId}`, amountSats: -amount });
    postings.push({ book: payoutId === null ? 'suspense' : 'transit', amountSats: amount });
  }
  return postings;
}

function negated({ book, amountSats }: Posting): Posting {
  return { book, amountSats: -amountSats };
}
