import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { toPlatformError } from '../../eventstore/database-error.js';

/** Who the connector is, what it reads and from where: as in `debezium/connector.json` and `debezium/roles.sql`. */
export const CDC_ROLE = 'cdc';
export const PUBLICATION = 'tallystick';
export const DEFAULT_SLOT = 'tallystick';

/** Beside the sources and beside the build alike. */
const ROLES_SQL = fileURLToPath(new URL('../../../debezium/roles.sql', import.meta.url));

/**
 * Makes the connector's role and the publication, or gives the role a new password: `debezium/roles.sql`.
 *
 * @param url as the owner of the outbox, who may make roles
 * @param password never logged, nor sent in a statement that the server would log by its text
 * @throws RetryableError, FatalError with what the database says
 */
export async function setUpCdc(url: string, password: string): Promise<void> {
  const sql = await readFile(ROLES_SQL, 'utf8');
  const client = new pg.Client({ connectionString: url, application_name: 'tallystick-cdc-setup' });
  try {
    await client.connect();
    await client.query(`SET log_statement = 'none'`).catch(ignoreLackOfRight);
    await client.query(sql.replace(":'password'", () => client.escapeLiteral(password)));
  } catch (error) {
    throw toPlatformError(error, 'making the role and the publication of the connector');
  } finally {
    await client.end();
  }
}

/** Only a superuser may set it: others have statements logged as their server is told to. */
function ignoreLackOfRight(error: unknown): void {
  if ((error as { code?: string }).code !== '42501') throw error;
}
