import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { startEmbeddedPostgres } from '../../dist/platform/postgres/embedded.js';
import { migrate } from '../../dist/platform/postgres/migrate.js';
import { commandLineOf, isAlive } from '../../dist/platform/postgres/process-of.js';
import { setUpCdc } from '../../dist/outbox/kafka/set-up-cdc.js';
import { DEBEZIUM } from './parts.mjs';
import { StackError } from './processes.mjs';

/** `name = value` lines of `debezium/postgresql.conf`, as `name=value`. */
function settings() {
  return readFileSync(join(DEBEZIUM, 'postgresql.conf'), 'utf8')
    .split('\n')
    .map((line) => /^(\w+) *= *'?([^'#]+?)'?\s*(?:#.*)?$/.exec(line))
    .flatMap((match) => (match ? [`${match[1]}=${match[2]}`] : []));
}

/** PostgreSQL as the ledger's embedded one, but for logical decoding: migrated, with the connector's role and publication. */
export const postgres = {
  name: 'postgres',
  title: 'PostgreSQL',
  ports: ['postgres'],

  running: (stack) =>
    stack.state.postgresPid !== undefined && isPostgres(stack.state.postgresPid) ? stack.state.postgresPid : undefined,

  async start(stack) {
    const server = await startEmbeddedPostgres({
      dataDir: stack.dir,
      port: stack.state.ports.postgres,
      settings: [...settings(), ...(stack.options.postgresSettings ?? [])],
    });
    stack.state.postgresPid = server.pid;
    stack.state.databaseUrl = server.url;
    stack.state.ports.postgres = Number(new URL(server.url).port);
    stack.save();
    await migrate(server.url);
    await setUpCdc(server.url, stack.state.cdcPassword);
  },

  /** @param signal SIGINT: a fast shutdown; SIGQUIT: at once, as after a power cut; SIGKILL: not even that */
  async stop(stack, signal = 'SIGINT') {
    const pid = this.running(stack);
    if (pid === undefined) return false;
    process.kill(pid, signal);
    const deadline = Date.now() + 30_000;
    while (isPostgres(pid)) {
      if (Date.now() > deadline) throw new StackError(`PostgreSQL (pid ${pid}) does not stop`);
      await new Promise((resolve) => setTimeout(resolve, 25));
    }
    return true;
  },
};

function isPostgres(pid) {
  return isAlive(pid) && /postgres.* -D /.test(commandLineOf(pid) ?? '');
}

/** A server that a killed `up` left before it could write its pid down. */
export function adoptPostgres(stack) {
  const candidates = [join(stack.dir, 'postgres', 'postmaster.pid')];
  for (const file of candidates) {
    if (!existsSync(file)) continue;
    const pid = Number(readFileSync(file, 'utf8').split('\n')[0]);
    if (pid > 1 && isPostgres(pid) && commandLineOf(pid).includes(stack.dir)) stack.state.postgresPid = pid;
  }
}
