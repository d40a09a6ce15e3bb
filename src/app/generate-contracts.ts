import { randomBytes } from 'node:crypto';
import { z } from 'zod';
import { createLocalKeys } from '../bitcoin/keys/local-keys.js';
import { createPostgresCommandLog } from '../command/postgres-command-log.js';
import { EVENT_TYPES } from '../domain/events/event-types.js';
import { createPostgresEventStore } from '../eventstore/postgres-event-store.js';
import { createPostgresOutbox } from '../outbox/postgres-outbox.js';
import { Mounts } from '../platform/http/mounts.js';
import { createLogger } from '../platform/logger.js';
import { createPool } from '../platform/postgres/pool.js';
import { schemaText } from '../query/graphql/build-schema.js';
import { createApi, describeApi, type ApiHost } from './http-app.js';

export interface GeneratedFile {
  /** Below `generated/`. */
  path: string;
  content: string;
}

/** The contracts with the outside, as the code has them: a JSON Schema per event, the REST API, the GraphQL schema. */
export async function generateContracts(): Promise<GeneratedFile[]> {
  return [
    ...eventSchemas(),
    { path: 'openapi.json', content: json(await openApi()) },
    { path: 'schema.graphql', content: `# Generated from src/query/graphql: change it there.\n\n${schemaText()}` },
  ];
}

function eventSchemas(): GeneratedFile[] {
  return Object.entries(EVENT_TYPES).map(([type, { schema, schemaVersion }]) => ({
    path: `events/${type}.v${schemaVersion}.schema.json`,
    content: json({ title: type, ...z.toJSONSchema(schema, { target: 'draft-2020-12' }) }),
  }));
}

/** The document is read off a whole application; its parts are never asked anything, so its database need not exist. */
async function openApi(): Promise<object> {
  const pool = createPool('postgres://127.0.0.1:1/none', { max: 1 });
  const ledger = 'main';
  const network = 'regtest';
  const neverAsked = (): never => {
    throw new Error('nothing is asked while the document is made');
  };
  const outbox = createPostgresOutbox({ pool, ledger });
  const host: ApiHost = {
    config: { apiKeys: undefined, trustProxy: false },
    logger: createLogger('silent'),
    onFatal: neverAsked,
    metrics: { scrape: neverAsked },
    mounts: new Mounts(),
  };
  const api = await createApi(host, {
    commands: {
      ledger,
      network,
      store: createPostgresEventStore({ pool, ledger }),
      reads: {
        credits: neverAsked,
        scriptOwners: neverAsked,
        walletWithDescriptor: neverAsked,
        walletsWithDescriptor: neverAsked,
        waitFor: neverAsked,
      },
      log: createPostgresCommandLog({ pool, outbox }),
      keys: createLocalKeys({ directory: '', network, randomBytes }),
      sleep: neverAsked,
      pushedBlocks: { submit: neverAsked },
      devChain: { mine: neverAsked, pay: neverAsked, reorg: neverAsked },
    },
    query: {
      pool,
      ledger,
      outbox,
      readModels: {
        reached: neverAsked,
        tipAt: neverAsked,
        waitFor: neverAsked,
        onAdvanced: () => () => undefined,
        status: neverAsked,
      },
      health: [],
    },
  });
  try {
    return describeApi(api);
  } finally {
    await api.close();
    await pool.end();
  }
}

function json(value: object): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}
