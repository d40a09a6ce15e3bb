import { SourceConfigurationError } from '../block-source.js';

/** Where a node is and how to log in to it. The password is in `authorization` only, which nothing logs. */
export interface RpcEndpoint {
  protocol: 'http:' | 'https:';
  hostname: string;
  port: number;
  path: string;
  /** Value of the Authorization header, if the URL names a user. */
  authorization: string | undefined;
  /** The URL without user and password: for logs, errors and health. */
  display: string;
}

const DEFAULT_PORTS = { 'http:': 80, 'https:': 443 } as const;

/**
 * Takes a node's URL apart: `http://user:password@host:port/`.
 *
 * @throws SourceConfigurationError when it is not one; the message never repeats it, for it may hold a password
 */
export function parseRpcUrl(text: string): RpcEndpoint {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    // The error of the parser would repeat the URL.
    throw new SourceConfigurationError('The URL of the Bitcoin node is not a URL (http://user:password@host:port).');
  }
  const { protocol } = url;
  if (protocol !== 'http:' && protocol !== 'https:') {
    throw new SourceConfigurationError('The URL of the Bitcoin node must begin with http:// or https://.');
  }
  return {
    protocol,
    // Node wants IPv6 addresses without their brackets.
    hostname: url.hostname.replace(/^\[(.*)\]$/, '$1'),
    port: url.port === '' ? DEFAULT_PORTS[protocol] : Number(url.port),
    path: url.pathname,
    authorization: authorizationOf(url),
    display: `${protocol}//${url.host}${url.pathname}`,
  };
}

function authorizationOf({ username, password }: URL): string | undefined {
  if (username === '' && password === '') return undefined;
  let credentials: string;
  try {
    credentials = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
  } catch {
    // As above: a stray percent sign, which stands in the password more often than not.
    throw new SourceConfigurationError('User or password in the URL of the Bitcoin node are not percent-encoded.');
  }
  return `Basic ${Buffer.from(credentials, 'utf8').toString('base64')}`;
}
