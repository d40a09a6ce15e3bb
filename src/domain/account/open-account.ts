import type { DomainEvent } from '../events/event-types.js';
import { reject, type Rejection } from '../rejection.js';
import type { AccountState } from './account-state.js';

export interface OpenAccount {
  accountId: string;
  metadata: Record<string, unknown>;
}

export function openAccount(command: OpenAccount, state: AccountState): DomainEvent[] | Rejection {
  if (state.opened) return reject('account-exists', `Account '${command.accountId}' exists.`);
  return [{ type: 'AccountOpened', data: { accountId: command.accountId, metadata: command.metadata } }];
}
