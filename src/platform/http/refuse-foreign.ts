import { isIP } from 'node:net';
import { ProblemError } from './problem.js';

/**
 * Where no API key is asked for, whoever can reach the address may command the ledger: and a page in the user's browser can.
 * It names itself in `Origin`, or, after DNS rebinding, in `Host`: a name of its own that now leads to our address. Names
 * without a dot, names below `.localhost` and bare addresses cannot be a stranger's page on the loopback interface.
 *
 * @returns why the request is refused, or undefined
 */
export function refuseForeign(headers: {
  origin?: string | undefined;
  host?: string | undefined;
}): ProblemError | undefined {
  const { origin, host } = headers;
  if (origin !== undefined && !isLocal(hostnameOf(origin))) return refused(`a page of ${origin.slice(0, 200)}`);
  if (host !== undefined && !isLocal(hostnameOf(`http://${host}`))) return refused('another name for this address');
  return undefined;
}

function refused(what: string): ProblemError {
  return new ProblemError(
    'origin-not-allowed',
    `This ledger asks for no API key, and so takes no request from ${what}: set API_KEYS.`,
  );
}

function hostnameOf(url: string): string | undefined {
  return URL.canParse(url) ? new URL(url).hostname : undefined;
}

function isLocal(hostname: string | undefined): boolean {
  if (hostname === undefined) return false;
  const bare = hostname.replace(/^\[|\]$/g, '');
  return isIP(bare) !== 0 || !bare.includes('.') || bare.endsWith('.localhost');
}
