import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { FastifyInstance } from 'fastify';

/** Everything from here, nothing inline. */
const PAGE_POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/** GraphiQL's editor sets styles on its elements, and has its fonts and cursors in its style sheet. */
const GRAPHIQL_POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const TYPES = {
  html: 'text/html; charset=utf-8',
  js: 'text/javascript; charset=utf-8',
  css: 'text/css; charset=utf-8',
  svg: 'image/svg+xml; charset=utf-8',
} as const;

interface StaticFile {
  url: string;
  /** Path of the file, looked for when it is first asked for. */
  path: () => string;
  type: keyof typeof TYPES;
  policy?: string;
}

function ours(name: string): () => string {
  return () => fileURLToPath(new URL(`../page/${name}`, import.meta.url));
}

function ofPackage(name: string, file: string): () => string {
  return () => join(dirname(createRequire(import.meta.url).resolve(`${name}/package.json`)), file);
}

const FILES: readonly StaticFile[] = [
  { url: '/', path: ours('index.html'), type: 'html', policy: PAGE_POLICY },
  { url: '/ui/page.js', path: ours('page.js'), type: 'js' },
  { url: '/ui/live.js', path: ours('live.js'), type: 'js' },
  { url: '/ui/page.css', path: ours('page.css'), type: 'css' },
  { url: '/ui/icon.svg', path: ours('icon.svg'), type: 'svg' },
  { url: '/graphiql', path: ours('graphiql.html'), type: 'html', policy: GRAPHIQL_POLICY },
  { url: '/ui/graphiql-start.js', path: ours('graphiql-start.js'), type: 'js' },
  { url: '/ui/graphiql-page.css', path: ours('graphiql-page.css'), type: 'css' },
  { url: '/ui/graphiql.js', path: ofPackage('graphiql', 'graphiql.min.js'), type: 'js' },
  { url: '/ui/graphiql.css', path: ofPackage('graphiql', 'graphiql.min.css'), type: 'css' },
  { url: '/ui/react.js', path: ofPackage('react', 'umd/react.production.min.js'), type: 'js' },
  { url: '/ui/react-dom.js', path: ofPackage('react-dom', 'umd/react-dom.production.min.js'), type: 'js' },
];

/** The page at `/` and GraphiQL: a closed list of files, read once. Open to all: they hold no data. */
export function registerStaticFiles(fastify: FastifyInstance): void {
  const cache = new Map<string, { bytes: Buffer; tag: string }>();
  for (const { url, path, type, policy } of FILES) {
    fastify.get(url, { config: { public: true } }, async (request, reply) => {
      let file = cache.get(url);
      if (file === undefined) {
        const bytes = readFileSync(path());
        file = { bytes, tag: `"${createHash('sha256').update(bytes).digest('base64url').slice(0, 22)}"` };
        cache.set(url, file);
      }
      void reply.headers({
        etag: file.tag,
        'cache-control': 'no-cache',
        'x-content-type-options': 'nosniff',
        'referrer-policy': 'no-referrer',
        ...(policy === undefined ? {} : { 'content-security-policy': policy }),
      });
      if (request.headers['if-none-match'] === file.tag) return reply.code(304).send();
      return reply.type(TYPES[type]).send(file.bytes);
    });
  }
}
