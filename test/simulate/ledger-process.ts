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
import { createPostgresEventStore } from '../../src/eventstore/postgres-event-store.js';
import type { Outbox } from '../../src/outbox/outbox.js';
import { createPostgresFeed } from '../../src/outbox/postgres-feed.js';
import { createPostgresOutbox } from '../../src/outbox/postgres-outbox.js';
import { ALL_PROJECTIONS } from '../../src/projections/all-projections.js';
import { createPayoutWork } from '../../src/projections/read/payout-work.js';
import { rebuildProjections } from '../../src/projections/rebuild/rebuild-projections.js';
import { createProjectionRunner } from '../../src/projections/runner/projection-runner.js';
import { createManualSigning } from '../../src/workflow/payout-signing.js';
import { createWorkflow } from '../../src/workflow/workflow.js';
import type { PaymentPolicy } from '../../src/workflow/workflow-parts.js';
import type { Evidence } from './evidence.js';
import { KilledError, mortalStore, type Life } from './mortal-store.js';

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
  settle(rounds: number): Promise<void>;
  close(): Promise<void>;
}

export async function startProcess(process: ProcessParts): Promise<LedgerProcess> {
  const { pool, ledger, policy, source, node, signer, evidence, life, now, random } = process;
  const fatal: unknown[] = [];
  const trouble: unknown[] = [];
  const onFatal = (error: unknown): void => {
    if (!(error instanceof KilledError)) fatal.push(error);
  };
  const feed = createPostgresFeed({ pool, ledger });
  const durable = createPostgresEventStore({ pool, ledger, onCommitted: (batch) => feed.committed(batch) });
  const store = mortalStore(durable, life, evidence);
  const outbox = createPostgresOutbox({ pool, ledger });
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
  const work = createPayoutWork({ database: pool, ledger, progress: runner });
  const parts = createCommandParts({
    ledger,
    network: 'regtest',
    store,
    reads: createCommandReads(pool, ledger, runner),
    log: createPostgresCommandLog({ pool, outbox }),
    keys: { ensure: () => Promise.reject(new Error('no wallet here has keys of the ledger')) },
    sleep: () => new Promise((resolve) => setImmediate(resolve)),
    signing: createManualSigning({ network: 'regtest', node, walletOf: (walletId) => work.wallet(walletId) }),
    evidence: createChainEvidence({ pool, ledger, blocks: (hashes) => source.blocks(hashes) }),
  });
  const workflow = createWorkflow({
    network: 'regtest',
    policy,
    commands: createLedgerCommands(parts),
    work,
    node,
    signers: { none: createManualSigner(), http: signer, local: createManualSigner() },
    outbox,
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

  const readModelsKnow = async (): Promise<bigint> => {
    const head = await outbox.head();
    await runner.waitFor(head, undefined, READ_WAIT_MS);
    return head;
  };
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
    parts,
    outbox,
    trouble,
    fatal,
    follow: async () => {
      await follower.syncNow();
      await readModelsKnow();
    },
    settle: async (rounds) => {
      for (let round = 0, quiet = 0; round < rounds && quiet < 2; round++) {
        life.assertAlive();
        await follower.syncNow();
        const before = await readModelsKnow();
        await workflow.runOnce();
        life.assertAlive();
        if (fatal.length > 0) throw fatal[0];
        quiet = (await outbox.head()) === before ? quiet + 1 : 0;
      }
      await readModelsKnow();
    },
    close,
  };
}
