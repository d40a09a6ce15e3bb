import type pg from 'pg';
import { createChainEvidence } from '../../src/app/chain-evidence.js';
import { createCommandReads } from '../../src/app/command-reads.js';
import type { BlockSource } from '../../src/bitcoin/block-source.js';
import { createFollower } from '../../src/bitcoin/follow/follower.js';
import type { PaymentNode } from '../../src/bitcoin/payment/payment-node.js';
import type { PsbtSigner } from '../../src/bitcoin/payment/signer.js';
import { createManualSigner } from '../../src/bitcoin/payment/manual-signer.js';
import { createCommandParts, type CommandParts } from '../../src/command/command-parts.js';
import { createLedgerCommands } from '../../src/command/ledger-commands.js';
import { createPostgresCommandLog } from '../../src/command/postgres-command-log.js';
import type { AppendRequest } from '../../src/eventstore/event-store.js';
import { createPostgresEventStore } from '../../src/eventstore/postgres-event-store.js';
import type { Outbox } from '../../src/outbox/outbox.js';
import { createPostgresFeed } from '../../src/outbox/postgres-feed.js';
import { createPostgresOutbox } from '../../src/outbox/postgres-outbox.js';
import { ALL_PROJECTIONS } from '../../src/projections/all-projections.js';
import { createPayoutWork } from '../../src/projections/read/payout-work.js';
import { rebuildProjections } from '../../src/projections/rebuild/rebuild-projections.js';
import { createProjectionRunner } from '../../src/projections/runner/projection-runner.js';
import { createManualSigning } from '../../src/workflow/payout-signing.js';
import { createWorkflow, type Workflow } from '../../src/workflow/workflow.js';
import type { PaymentPolicy } from '../../src/workflow/workflow-parts.js';
import type { Evidence } from './evidence.js';
import { KilledError, mortalStore, type Life } from './mortal-store.js';
import { inTurn, type Turns } from './turns.js';

const READ_WAIT_MS = 20_000;

export interface ProcessParts {
  pool: pg.Pool;
  ledger: string;
  policy: PaymentPolicy;
  source: BlockSource;
  node: PaymentNode;
  signer: PsbtSigner;
  evidence: Evidence;
  life: Life;
  turns: Turns;
  /** Milliseconds since 1970. */
  now: () => number;
  random: () => number;
}

/** Everything that a process of the ledger holds: thrown away when it dies, and built anew on the same database. */
export interface LedgerProcess {
  life: Life;
  parts: CommandParts;
  outbox: Outbox;
  /** What went wrong and was left for later, and what ended the process. */
  trouble: unknown[];
  fatal: unknown[];
  /** Follows the chain; then the read models know everything that is in the log. */
  follow(): Promise<void>;
  /** Follows the chain, and does all that can be done now, at most so many rounds. */
  /** With two leaders, both believe that they lead, at the same time. */
  settle(rounds: number, leaders?: number): Promise<void>;
  close(): Promise<void>;
}

export async function startProcess(process: ProcessParts): Promise<LedgerProcess> {
  const { pool, ledger, policy, source, evidence, life, turns, now, random } = process;
  const fatal: unknown[] = [];
  const trouble: unknown[] = [];
  const onFatal = (error: unknown): void => {
    if (!(error instanceof KilledError)) fatal.push(error);
  };
  const feed = createPostgresFeed({ pool, ledger });
  const durable = createPostgresEventStore({ pool, ledger, onCommitted: (batch) => feed.committed(batch) });
  const store = mortalStore(durable, life, evidence);
  const outbox = createPostgresOutbox({ pool, ledger });
  const node = inTurn(turns, process.node);
  const signer = inTurn(turns, process.signer);
  const runner = createProjectionRunner({
    pool,
    ledger,
    feed,
    projections: ALL_PROJECTIONS,
    rebuild: (names) => rebuildProjections({ pool, ledger, projections: ALL_PROJECTIONS, names }),
    onFatal,
    onHalt: onFatal,
  });
  await runner.start();
  const follower = createFollower({
    ledger,
    network: 'regtest',
    store,
    outbox,
    // Only when told to: so that the same seed does the same.
    source: { ...source, onWake: () => () => undefined },
    startBlock: undefined,
    depositConfirmations: 1,
    finalityDepth: 144,
    now,
    random,
    onFatal,
    limits: { pollMs: 3_600_000 },
  });
  const readModelsKnow = async (): Promise<bigint> => {
    const head = await outbox.head();
    await runner.waitFor(head, undefined, READ_WAIT_MS);
    return head;
  };
  const alive = (): Promise<void> => {
    life.assertAlive();
    return Promise.resolve();
  };
  /** What the dead ask is not answered: the others would wait for read models that nobody moves any more. */
  const aliveAtHead = async (): Promise<void> => {
    await alive();
    await readModelsKnow();
  };
  // Every answer is that of the moment at which it is given, and not of a moment that the clock decides.
  const work = inTurn(turns, createPayoutWork({ database: pool, ledger, progress: runner }), aliveAtHead);
  const reads = inTurn(turns, createCommandReads(pool, ledger, runner), aliveAtHead);
  const log = inTurn(turns, createPostgresCommandLog({ pool, outbox }), alive);
  const evidenceOfChain = createChainEvidence({ pool, ledger, blocks: (hashes) => source.blocks(hashes) });
  /** What one process knows of the streams, and the workflow that runs in it. */
  const start = (name: string): { parts: CommandParts; workflow: Workflow } => {
    // Appends to one stream keep their order, as they do in the appender of a process.
    const keyOf = (method: string, [request]: readonly unknown[]): string | undefined =>
      method === 'append' ? `${name} ${(request as AppendRequest).stream}` : undefined;
    const parts = createCommandParts({
      ledger,
      network: 'regtest',
      store: inTurn(turns, store, alive, keyOf),
      reads,
      log,
      keys: { ensure: () => Promise.reject(new Error('no wallet here has keys of the ledger')) },
      sleep: () => new Promise((resolve) => setImmediate(resolve)),
      signing: createManualSigning({ network: 'regtest', node, walletOf: (walletId) => work.wallet(walletId) }),
      evidence: inTurn(turns, evidenceOfChain, aliveAtHead),
    });
    const workflow = createWorkflow({
      network: 'regtest',
      policy,
      commands: createLedgerCommands(parts),
      work,
      node,
      signers: { none: createManualSigner(), http: signer, local: createManualSigner() },
      outbox: inTurn(turns, outbox, alive),
      feed,
      lead: (signal, lead) => lead(signal),
      now,
      random,
      sleep: () => new Promise((resolve) => setImmediate(resolve)),
      payoutsAtOnce: 1,
      events: {
        offered: () => undefined,
        signerAnswered: () => undefined,
        trouble: (_what, error) => trouble.push(error),
      },
      onFatal,
    });
    return { parts, workflow };
  };
  const first = start('first');
  /** Another process that has taken over, and does not know that the first still runs. */
  const second = start('second');

  const close = async (): Promise<void> => {
    life.isDead = true;
    await follower.stop();
    await durable.close();
    await runner.stop();
    await feed.close();
  };
  try {
    await follower.start();
  } catch (error) {
    await close();
    throw error;
  }
  return {
    life,
    parts: first.parts,
    outbox,
    trouble,
    fatal,
    follow: async () => {
      await turns.idle();
      await follower.syncNow();
      await readModelsKnow();
    },
    settle: async (rounds, leaders = 1) => {
      for (let round = 0, quiet = 0; round < rounds && quiet < 2; round++) {
        await turns.idle();
        life.assertAlive();
        await follower.syncNow();
        const before = await readModelsKnow();
        const led = await Promise.allSettled(
          [first, second].slice(0, leaders).map(({ workflow }) => workflow.runOnce()),
        );
        await turns.idle();
        life.assertAlive();
        if (fatal.length > 0) throw fatal[0];
        for (const one of led) if (one.status === 'rejected') throw one.reason;
        quiet = (await outbox.head()) === before ? quiet + 1 : 0;
      }
      await readModelsKnow();
    },
    close,
  };
}
