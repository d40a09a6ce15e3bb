import type pg from 'pg';

/**
 * A connection that is asked one question at a time, in the order of asking: the driver wants it so, and who asks several at once need not
 * know of the others. One that fails does not hold up the rest.
 */
export function oneAtATime(connection: Pick<pg.ClientBase, 'query'>): Pick<pg.Pool, 'query'> {
  let last: Promise<unknown> = Promise.resolve();
  const query = (...question: [pg.QueryConfig]): Promise<pg.QueryResult> => {
    const answer = last.then(() => connection.query(...question));
    last = answer.catch(() => undefined);
    return answer;
  };
  return { query: query as pg.Pool['query'] };
}
