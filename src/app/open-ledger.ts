import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import type { RegtestChain } from '../bitcoin/regtest/regtest-chain.js';
import { createLocalKeys } from '../bitcoin/keys/local-keys.js';
import { createCommandParts, type CommandPartsOptions } from '../command/command-parts.js';
import { createLedgerCommands } from '../command/ledger-commands.js';
import { createPostgresCommandLog } from '../command/postgres-command-log.js';
import { createPostgresOutbox } from '../outbox/postgres-outbox.js';
import { readUnprojectedAges } from '../projections/unprojected-ages.js';
import { createPayoutWork } from '../projections/read/payout-work.js';
import { readPaymentsSummary } from '../query/payments-summary.js';
import type { HealthCheck } from '../query/ports.js';
import { createReadModels } from '../query/read-models.js';
import type { Workflow } from '../workflow/workflow.js';
import { createManualSigning } from '../workflow/payout-signing.js';
import { createChainEvidence } from './chain-evidence.js';
import { createCommandReads } from './command-reads.js';
import { createDevChain } from './dev-chain.js';
import { createHealthChecks } from './health-checks.js';
import { createApi } from './http-app.js';
import { observeLedger, type Observed } from './observe-ledger.js';
import { observePayments } from './observe-payments.js';
import { openBlocksOnly, openChainSide } from './open-chain-side.js';
import { openEventStore, openFeed } from './open-event-store.js';
import type { OpenKafka } from './open-kafka.js';
import { openProjector, watchReadModels } from './open-read-models.js';
import { openRelay } from './open-relay.js';
import { openPaymentNode, openSigners, openWorkflow } from './open-workflow.js';
import type { LedgerContext } from './process-parts.js';

/** A start waits so long for the read models; after that it serves, and every answer says how far they are. */
const CATCH_UP_TIMEOUT_MS = 10_000;

export interface OpenedLedger {
  ledger: string;
  /** Initialised, not listening; undefined where this process does not serve the API. */
  api: NestFastifyApplication | undefined;
  health: readonly HealthCheck[];
}

/** What all ledgers of a process use, where it has it. */
export interface SharedParts {
  /** The built-in chain, where that is the source of blocks. */
  regtest: RegtestChain | undefined;
  /** What projections read, where it is not the outbox itself. */
  kafka: OpenKafka | undefined;
  /** Of what no ledger owns. */
  health: readonly HealthCheck[];
}

/** What the roles of this process need of one ledger: log, read models, chain, payments, API. */
export async function openLedger(context: LedgerContext, shared: SharedParts): Promise<OpenedLedger> {
  const { config, ledger, pool, measured, closers } = context;
  const { regtest, kafka } = shared;
  const { roles, overdueMinutes } = config;
  const outbox = createPostgresOutbox({ pool, ledger });
  const relay = roles.has('relay') && config.eventStore === 'eventstoredb' ? [await openRelay(context)] : [];
  const feed = openFeed(context);
  // With Kafka, the group decides which process moves the read models, and when.
  const delivered = kafka?.project(context, outbox);
  const projectsAlways = roles.has('projector') && delivered === undefined;
  const { progress, status, isToldHere } = projectsAlways
    ? await openProjector(context, feed)
    : watchReadModels(context);

  const decides = roles.has('api') || roles.has('workflow');
  const store = decides || roles.has('follower') ? await openEventStore(context, feed) : undefined;
  const chain = !store
    ? undefined
    : roles.has('follower')
      ? await openChainSide({ ...context, store, outbox, regtest })
      : await openBlocksOnly(context);
  if (projectsAlways) await progress.waitFor(await outbox.head(), undefined, CATCH_UP_TIMEOUT_MS);

  const paying: { workflow?: Workflow } = {};
  const health = [
    ...createHealthChecks({
      pool,
      ledger,
      outbox,
      progress,
      status,
      follower: chain?.follower,
      delivery: kafka && delivered && { source: kafka.source, feed: delivered },
      payments: decides ? () => paying.workflow?.status() : undefined,
    }),
    ...relay,
    ...shared.health,
  ];
  const ages: Observed['ages'] = (of) => readUnprojectedAges(pool, ledger, of);
  observeLedger(measured, { follower: chain?.follower, status, outbox, ages });
  if (store === undefined || chain === undefined || !decides) return { ledger, api: undefined, health };

  observePayments(measured, () => readPaymentsSummary({ pool, ledger, overdueMinutes }), Date.now);
  const node = openPaymentNode(config, { source: chain.source, regtest });
  closers.add('node for payments', () => node.close());
  const work = createPayoutWork({ database: pool, ledger, progress });
  const keys = createLocalKeys({ directory: join(config.dataDir, 'keys'), network: config.network, randomBytes });
  const commandOptions: CommandPartsOptions = {
    ledger,
    network: config.network,
    store,
    reads: createCommandReads(pool, ledger, progress),
    log: createPostgresCommandLog({ pool, outbox }),
    keys,
    sleep: (ms) => sleep(ms),
    rules: {
      maxSats: config.withdrawalMaxSats,
      defaultWalletId: config.defaultWalletId,
      maxFeeRateSatsPerVbyte: Number(config.maxFeeRateSatsPerKvb) / 1_000,
    },
    signing: createManualSigning({ network: config.network, node, walletOf: (walletId) => work.wallet(walletId) }),
    evidence: createChainEvidence({ pool, ledger, blocks: (hashes) => chain.source.blocks(hashes) }),
  };
  const parts = createCommandParts(commandOptions);
  const { follower } = chain;
  const api = roles.has('api')
    ? await createApi(context, {
        commands: {
          ...commandOptions,
          parts,
          pushedBlocks: chain.pushedBlocks,
          devChain:
            regtest && follower && createDevChain({ chain: regtest, follower, progress, logger: context.logger }),
        },
        query: {
          pool,
          ledger,
          outbox,
          readModels: createReadModels({ progress, status, isToldHere }),
          health,
          overdueMinutes,
        },
      })
    : undefined;
  // Requests end before what works for them.
  if (roles.has('workflow')) {
    const signers = openSigners(config, keys);
    paying.workflow = openWorkflow(context, {
      commands: createLedgerCommands(parts),
      work,
      node,
      signers,
      outbox,
      feed,
    });
  }
  if (api !== undefined) closers.add('HTTP', () => api.close());
  return { ledger, api, health };
}
