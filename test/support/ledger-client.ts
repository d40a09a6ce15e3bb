/** A client as a careful user would write it: the same key until there is an answer, whatever happens in between. */
export interface Answer {
  status: number;
  body: Record<string, unknown>;
  headers: Headers;
}

export interface LedgerClient {
  post(path: string, body?: unknown, key?: string): Promise<Answer>;
  get(path: string, headers?: Record<string, string>): Promise<Answer>;
  graphql<T>(query: string, options?: { variables?: Record<string, unknown>; minPosition?: string }): Promise<T>;
}

/** @param headers sent with every request, such as an API key */
export function createLedgerClient(url: string, headers: Record<string, string> = {}): LedgerClient {
  const send = async (path: string, init: RequestInit): Promise<Answer> => {
    const response = await fetch(url + path, { ...init, headers: { ...headers, ...init.headers } });
    const text = await response.text();
    const isJson = /json/.test(response.headers.get('content-type') ?? '');
    return {
      status: response.status,
      body: (isJson && text !== '' ? JSON.parse(text) : { text }) as Record<string, unknown>,
      headers: response.headers,
    };
  };
  return {
    post: (path, body, key) =>
      send(path, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...(key === undefined ? {} : { 'idempotency-key': key }) },
        body: JSON.stringify(body ?? {}),
      }),
    get: (path, own = {}) => send(path, { headers: own }),
    graphql: async <T>(
      query: string,
      options: { variables?: Record<string, unknown>; minPosition?: string } = {},
    ): Promise<T> => {
      const answer = await send('/graphql', {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          ...(options.minPosition === undefined ? {} : { 'ledger-min-position': options.minPosition }),
        },
        body: JSON.stringify({ query, variables: options.variables ?? {} }),
      });
      if (answer.status !== 200 || answer.body['errors'] !== undefined) {
        throw new Error(`GraphQL answered ${answer.status}: ${JSON.stringify(answer.body)}`);
      }
      return answer.body['data'] as T;
    },
  };
}
