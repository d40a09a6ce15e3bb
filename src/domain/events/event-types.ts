import type { z } from 'zod';
import { accountOpenedSchema, transferSentSchema } from './account-events.js';
import {
  blockConnectedSchema,
  blockDisconnectedSchema,
  chainOpenedSchema,
  depositPolicySetSchema,
  transfersFoundSchema,
} from './chain-events.js';
import { addressIssuedSchema, scriptWatchedSchema, walletCreatedSchema } from './wallet-events.js';

/** Every event type, its current schema version and its schema. To add an event: a schema in this folder, a line here. */
export const EVENT_TYPES = {
  AccountOpened: { schemaVersion: 1, schema: accountOpenedSchema },
  TransferSent: { schemaVersion: 1, schema: transferSentSchema },
  WalletCreated: { schemaVersion: 1, schema: walletCreatedSchema },
  AddressIssued: { schemaVersion: 1, schema: addressIssuedSchema },
  ScriptWatched: { schemaVersion: 1, schema: scriptWatchedSchema },
  ChainOpened: { schemaVersion: 1, schema: chainOpenedSchema },
  DepositPolicySet: { schemaVersion: 1, schema: depositPolicySetSchema },
  TransfersFound: { schemaVersion: 1, schema: transfersFoundSchema },
  BlockConnected: { schemaVersion: 1, schema: blockConnectedSchema },
  BlockDisconnected: { schemaVersion: 1, schema: blockDisconnectedSchema },
} as const;

export type EventType = keyof typeof EVENT_TYPES;

export type EventData<T extends EventType> = z.infer<(typeof EVENT_TYPES)[T]['schema']>;

/** A fact as a decider returns it: amounts are decimal strings, exactly as stored. */
export type DomainEvent = { [T in EventType]: { type: T; data: EventData<T> } }[EventType];

export function isEventType(type: string): type is EventType {
  return Object.hasOwn(EVENT_TYPES, type);
}
