import type { NetworkName } from '../bitcoin/network.js';
import type { PaymentNode } from '../bitcoin/payment/payment-node.js';
import type { PsbtSigner } from '../bitcoin/payment/signer.js';
import type { NodeAnswerKind } from '../domain/events/payout-events.js';
import type { Signer } from '../domain/events/wallet-events.js';
import type { Agenda } from './agenda.js';
import type { Gate } from './gate.js';
import type { TaskPool } from './task-pool.js';
import type { PayoutWork, WorkflowCommands } from './ports.js';

/** How payments are made; from the configuration. Rates are satoshis per 1000 vbytes. */
export interface PaymentPolicy {
  /** Confirmations at which a payment is complete, and at which it is final. */
  completeAt: number;
  finalAt: number;
  /** How long the first of a batch waits for others. */
  windowMs: number;
  maxWithdrawals: number;
  maxWeight: number;
  /** Where the house pays: what replacements may cost in all, of what is paid. */
  feeBudgetPercent: number;
  /** Payments that may build on each other unconfirmed; 0: only confirmed coins are spent. */
  chainDepth: number;
  maxFeeRateSatsPerKvb: bigint;
  /** For a node without an estimate; null: wait until it has one. */
  fallbackFeeRateSatsPerKvb: bigint | null;
  longTermFeeRateSatsPerKvb: bigint;
  /** How often what nobody has confirmed is sent again, though the node took it. */
  rebroadcastMs: number;
}

/** What happened, for metrics. */
export interface WorkflowEvents {
  offered(answer: NodeAnswerKind): void;
  signerAnswered(kind: 'signed' | 'pending' | 'refused' | 'unavailable' | 'mismatch' | 'incomplete'): void;
  /** A payout could not go on for now; it is tried again. */
  trouble(payoutId: string, error: unknown): void;
}

/** What the workflow is made of. Everything that the world decides is passed in. */
export interface WorkflowParts {
  network: NetworkName;
  policy: PaymentPolicy;
  commands: WorkflowCommands;
  work: PayoutWork;
  node: PaymentNode;
  signers: Readonly<Record<Signer, PsbtSigner>>;
  /** Milliseconds since 1970. */
  now: () => number;
  /** From 0 to below 1. */
  random: () => number;
  events: WorkflowEvents;
  agenda: Agenda;
  /** The highest position that this workflow has written. */
  written: { position: bigint };
  /** The last block that was put on the chain or taken off it while this workflow looked; null where none was. */
  lastBlock: { eventId: string | null };
  nodeGate: Gate;
  signerGates: Readonly<Record<Signer, Gate>>;
  /** Questions to signers that may take their time; they do not hold up payouts that need no signature. */
  signing: TaskPool;
}
