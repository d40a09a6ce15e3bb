import { ProblemError } from './problem.js';

/** Routes kept at most; an application has some dozens. */
const MAX_ROUTES = 1_000;

/**
 * Which methods an address would answer to. Fastify knows only "not found"; RFC 9110 (15.5.6) wants 405 with `Allow` where
 * the address exists with other methods.
 */
export class KnownRoutes {
  readonly #routes: { segments: readonly string[]; methods: readonly string[]; isPublic: boolean }[] = [];

  /** `url` is Fastify's pattern: `/v1/wallets/:walletId/addresses`. */
  add(url: string, methods: readonly string[], isPublic = false): void {
    if (this.#routes.length < MAX_ROUTES) this.#routes.push({ segments: url.split('/'), methods, isPublic });
  }

  /** Methods of all routes that match the path, sorted; empty where there is none. */
  methodsAt(path: string): string[] {
    const segments = path.split('/');
    const methods = new Set<string>();
    for (const route of this.#routes) {
      if (matches(route.segments, segments)) for (const method of route.methods) methods.add(method);
    }
    return [...methods].sort();
  }

  /** Whether there is a method that needs no key there: then neither does the answer that another one is not allowed. */
  isPublicAt(path: string): boolean {
    const segments = path.split('/');
    return this.#routes.some((route) => route.isPublic && matches(route.segments, segments));
  }
}

function matches(pattern: readonly string[], path: readonly string[]): boolean {
  // A catch-all is no address of its own: it would turn every 404 into a 405.
  if (pattern.length !== path.length || pattern.includes('*')) return false;
  return pattern.every((segment, index) => (segment.startsWith(':') ? path[index] !== '' : segment === path[index]));
}

/** What a request for which there is no route is told: 405 where the address has other methods, else 404. */
export function notFound(routes: KnownRoutes, path: string): ProblemError {
  const allow = routes.methodsAt(path).join(', ');
  if (allow === '') return new ProblemError('not-found', 'There is nothing at this address.');
  return new ProblemError('method-not-allowed', `Only ${allow} is allowed here.`, { headers: { allow } });
}
