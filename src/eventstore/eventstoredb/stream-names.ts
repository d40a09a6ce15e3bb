import { invariant } from '../../platform/assert.js';

/** What the streams of a ledger begin with in EventStoreDB. A ledger's name holds no dot, so none is the beginning of another. */
export function streamPrefix(ledger: string): string {
  return `tallystick.${ledger}.`;
}

export function toStoredStream(ledger: string, stream: string): string {
  return `${streamPrefix(ledger)}${stream}`;
}

export function fromStoredStream(ledger: string, stored: string): string {
  const prefix = streamPrefix(ledger);
  invariant(stored.startsWith(prefix), `stream ${stored} is not one of ledger ${ledger}`);
  return stored.slice(prefix.length);
}
