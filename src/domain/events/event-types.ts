import type { z } from 'zod';
import { accountOpenedSchema, transferSentSchema } from './account-events.js';
import {
  blockConnectedSchema,
  blockDisconnectedSchema,
  chainOpenedSchema,
  depositPolicySetSchema,
  transfersFoundSchema,
} from './chain-events.js';
import {
  bumpRefusedSchema,
  bumpRequestedSchema,
  candidateOfferedSchema,
  candidatePreparedSchema,
  candidateSignedSchema,
  coinsReleasedSchema,
  coinsReservedSchema,
  payoutCancelledSchema,
  payoutClosedSchema,
  payoutDeferredSchema,
  payoutHaltedSchema,
  payoutResolvedSchema,
  payoutResumedSchema,
  payoutSettledSchema,
  payoutStartedSchema,
  withdrawalRemovedSchema,
} from './payout-events.js';
import { addressIssuedSchema, scriptWatchedSchema, walletCreatedSchema } from './wallet-events.js';
import {
  fundsReleasedSchema,
  fundsReservedSchema,
  withdrawalAssignedSchema,
  withdrawalCancelledSchema,
  withdrawalDeferredSchema,
  withdrawalFailedSchema,
  withdrawalSettledSchema,
} from './withdrawal-events.js';

/** Every event type, its current schema version and its schema. To add an event: a schema in this folder, a line here. */
export const EVENT_TYPES = {
  AccountOpened: { schemaVersion: 1, schema: accountOpenedSchema },
  TransferSent: { schemaVersion: 1, schema: transferSentSchema },
  WalletCreated: { schemaVersion: 1, schema: walletCreatedSchema },
  AddressIssued: { schemaVersion: 1, schema: addressIssuedSchema },
  ScriptWatched: { schemaVersion: 1, schema: scriptWatchedSchema },
  ChainOpened: { schemaVersion: 1, schema: chainOpenedSchema },
  DepositPolicySet: { schemaVersion: 1, schema: depositPolicySetSchema },
  TransfersFound: { schemaVersion: 2, schema: transfersFoundSchema },
  BlockConnected: { schemaVersion: 2, schema: blockConnectedSchema },
  BlockDisconnected: { schemaVersion: 1, schema: blockDisconnectedSchema },
  FundsReserved: { schemaVersion: 1, schema: fundsReservedSchema },
  FundsReleased: { schemaVersion: 1, schema: fundsReleasedSchema },
  WithdrawalSettled: { schemaVersion: 1, schema: withdrawalSettledSchema },
  WithdrawalAssigned: { schemaVersion: 1, schema: withdrawalAssignedSchema },
  WithdrawalDeferred: { schemaVersion: 1, schema: withdrawalDeferredSchema },
  WithdrawalCancelled: { schemaVersion: 1, schema: withdrawalCancelledSchema },
  WithdrawalFailed: { schemaVersion: 1, schema: withdrawalFailedSchema },
  CoinsReserved: { schemaVersion: 1, schema: coinsReservedSchema },
  CoinsReleased: { schemaVersion: 1, schema: coinsReleasedSchema },
  PayoutStarted: { schemaVersion: 1, schema: payoutStartedSchema },
  WithdrawalRemoved: { schemaVersion: 1, schema: withdrawalRemovedSchema },
  CandidatePrepared: { schemaVersion: 1, schema: candidatePreparedSchema },
  CandidateSigned: { schemaVersion: 1, schema: candidateSignedSchema },
  CandidateOffered: { schemaVersion: 1, schema: candidateOfferedSchema },
  PayoutDeferred: { schemaVersion: 1, schema: payoutDeferredSchema },
  BumpRequested: { schemaVersion: 1, schema: bumpRequestedSchema },
  BumpRefused: { schemaVersion: 1, schema: bumpRefusedSchema },
  PayoutHalted: { schemaVersion: 1, schema: payoutHaltedSchema },
  PayoutResumed: { schemaVersion: 1, schema: payoutResumedSchema },
  PayoutResolved: { schemaVersion: 1, schema: payoutResolvedSchema },
  PayoutSettled: { schemaVersion: 1, schema: payoutSettledSchema },
  PayoutClosed: { schemaVersion: 1, schema: payoutClosedSchema },
  PayoutCancelled: { schemaVersion: 1, schema: payoutCancelledSchema },
} as const;

export type EventType = keyof typeof EVENT_TYPES;

export type EventData<T extends EventType> = z.infer<(typeof EVENT_TYPES)[T]['schema']>;

/** A fact as a decider returns it: amounts are decimal strings, exactly as stored. */
export type DomainEvent = { [T in EventType]: { type: T; data: EventData<T> } }[EventType];

export function isEventType(type: string): type is EventType {
  return Object.hasOwn(EVENT_TYPES, type);
}
