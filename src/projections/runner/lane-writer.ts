import type { Queryable } from '../log-reader.js';
import type { Statement } from '../tables/write-changes.js';

/** Statements of different shapes that are kept prepared; beyond that they are planned each time. */
const MAX_PREPARED_SHAPES = 300;

/** Writes the batches of a lane, one under way at most: while the database is busy with it, the next is computed here. */
export class LaneWriter {
  readonly #connection: Queryable;
  readonly #prepared = new Map<string, string>();
  /** Never rejects: whoever waits for it asks for the failure. */
  #underWay: Promise<void> = Promise.resolve();
  #failure: { error: unknown } | undefined;

  /** @param connection takes questions in the order of asking, also while one is not answered */
  constructor(connection: Queryable) {
    this.#connection = connection;
  }

  /** Runs a prepared statement; names are unique per schema and statement. */
  readonly run = async (name: string, text: string, values: unknown[]): Promise<Record<string, unknown>[]> => {
    const { rows } = await this.#connection.query<Record<string, unknown>>({
      name: `${shapeId(text)}.${name}`,
      text,
      values,
    });
    return rows;
  };

  /**
   * Hands over a write when the one before is durable, and does not wait for it.
   *
   * @param onDurable called when it is committed
   * @throws what the write before failed with
   */
  async send({ text, values }: Statement, onDurable: () => void): Promise<void> {
    await this.durable();
    const name = this.#nameOf(text);
    this.#underWay = this.#connection
      .query(name === undefined ? { text, values } : { name, text, values })
      .then(onDurable)
      .catch((error: unknown) => {
        this.#failure = { error };
      });
  }

  /** @throws what the last write failed with */
  async durable(): Promise<void> {
    await this.#underWay;
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  /** Nothing is under way any more, and what failed is forgotten. */
  async settle(): Promise<void> {
    await this.#underWay;
    this.#failure = undefined;
  }

  #nameOf(text: string): string | undefined {
    let name = this.#prepared.get(text);
    if (name === undefined && this.#prepared.size < MAX_PREPARED_SHAPES) {
      name = `write.${this.#prepared.size}.${shapeId(text)}`;
      this.#prepared.set(text, name);
    }
    return name;
  }
}

/** FNV-1a, 32 bits: tells the statements of several lanes on one connection apart. */
function shapeId(text: string): string {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i += 1) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return (hash >>> 0).toString(36);
}
