import { createEventStoreConnection } from '../../../src/eventstore/eventstoredb/connection.js';
import { readLastOfPrefix } from '../../../src/eventstore/eventstoredb/stream-calls.js';

const HOW =
  'Set EVENTSTOREDB_URL to a server that you can spare, for example esdb://127.0.0.1:2113?tls=false. ' +
  'Only streams that begin with tallystick.test- are made there.';

/** Says at once what is missing, instead of failing in every test. */
export async function setup(): Promise<void> {
  const url = process.env['EVENTSTOREDB_URL'];
  if (url === undefined || url === '') throw new Error(`npm run test:eventstoredb needs a real server. ${HOW}`);
  const connection = createEventStoreConnection(url);
  try {
    await readLastOfPrefix(connection, 'tallystick.test-', 30_000);
  } catch (cause) {
    throw new Error(`The server of EVENTSTOREDB_URL cannot be used. ${HOW}`, { cause });
  } finally {
    connection.close();
  }
}
