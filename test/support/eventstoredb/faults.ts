/** What goes wrong with one append. The next append takes the first fault of the queue. */
export type AppendFault =
  /** The connection breaks before the server did anything. */
  | { kind: 'drop-before' }
  /** Applied, and the connection breaks before the answer: the answer is lost. */
  | { kind: 'drop-after' }
  /** Not applied, and never answered. */
  | { kind: 'hang-before' }
  /** Applied, and never answered. */
  | { kind: 'hang-after' }
  /** Applied so much later, whatever the client thinks by then, and never answered. */
  | { kind: 'apply-late'; when: Promise<unknown> }
  /** The server's own time-out (`ABORTED`), though it was applied, or was not. */
  | { kind: 'timeout'; applied: boolean }
  /** Taken twice, as a network may deliver a request that somebody in between sent again. */
  | { kind: 'duplicate' }
  /** Answered so much later. */
  | { kind: 'slow'; ms: number }
  /** Refused: another node leads. */
  | { kind: 'not-leader'; host: string; port: number };

export interface Faults {
  appends: AppendFault[];
  /** Called with the streams' names of each append that is about to be judged; for tests that act at this moment. */
  beforeAppend: ((stream: string) => void | Promise<void>) | undefined;
  /** Time that each read and each message of a subscription takes. */
  readDelayMs: number;
  /** Reads that never answer. */
  hangReads: boolean;
  /** Filtered checkpoints name the position of an event that has not been delivered yet (KurrentDB #4970). */
  checkpointsAhead: boolean;
  /** Each message of a subscription is delivered twice. */
  duplicateDeliveries: boolean;
  /** Subscriptions take no more events, and say nothing. */
  silentSubscriptions: boolean;
}

export function noFaults(): Faults {
  return {
    appends: [],
    beforeAppend: undefined,
    readDelayMs: 0,
    hangReads: false,
    checkpointsAhead: false,
    duplicateDeliveries: false,
    silentSubscriptions: false,
  };
}
