// How large the log and the database are: asked of PostgreSQL when somebody wants to know, at most once in a while.

import type { Database } from '../postgres/database.ts';
import type { Clock } from '../util/clock.ts';

export interface DataSizes {
  /** The log with its indexes. */
  readonly logBytes: number;
  /** Everything in the database, other schemas included. */
  readonly databaseBytes: number;
  readonly collections: number;
}

// Sizes are read from the file system of the server, and every client may ask.
const VALID_MS = 10_000;

export class DataSizeReader {
  readonly #database: Pick<Database, 'query' | 'schema'>;
  readonly #clock: Clock;
  #last: { readonly atMs: number; readonly sizes: Promise<DataSizes> } | null = null;
  #known: DataSizes | null = null;

  constructor(database: Pick<Database, 'query' | 'schema'>, clock: Clock) {
    this.#database = database;
    this.#clock = clock;
  }

  /** As of the last time they were read; null before. */
  get known(): DataSizes | null {
    return this.#known;
  }

  /** As of at most some seconds ago. Rejects when PostgreSQL does not respond. */
  read(): Promise<DataSizes> {
    const now = this.#clock.monotonic();
    if (this.#last === null || now - this.#last.atMs >= VALID_MS) {
      const sizes = this.#query();
      this.#last = { atMs: now, sizes };
      sizes.catch(() => {
        this.#last = null;
      });
    }
    return this.#last.sizes;
  }

  async #query(): Promise<DataSizes> {
    const s = this.#database.schema;
    const [row] = await this.#database.query(
      `select (select coalesce(sum(pg_total_relation_size(inhrelid)), 0)::bigint from pg_inherits
               where inhparent = '${s}.log'::regclass) as "logBytes",
              pg_database_size(current_database()) as "databaseBytes",
              (select count(*) from ${s}.collection where state = 'ready') as collections`,
    );
    this.#known = row as unknown as DataSizes;
    return this.#known;
  }
}
