// The events of all gateways in PostgreSQL, in the order in which they were stored.

import type { EventKind, EventLevel, RecordedEvent } from '../observability/events.ts';
import type { Database } from '../postgres/database.ts';

/** An event as it is listed. */
export interface StoredEvent extends Omit<RecordedEvent, 'at'> {
  readonly id: number;
  readonly at: Date;
}

/** Which events to list; every condition is optional. */
export interface EventFilter {
  /** Only events stored before this id. */
  readonly before: number | null;
  /** Only events stored after this id. */
  readonly after: number | null;
  readonly kind: string | null;
  readonly level: string | null;
  readonly node: string | null;
  readonly limit: number;
}

interface EventRow extends Record<string, unknown> {
  readonly id: number;
  readonly at: Date;
  readonly level: EventLevel;
  readonly kind: EventKind;
  readonly node: string | null;
  readonly detail: RecordedEvent['detail'];
}

export class EventStore {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** Stores events in their order. Repeated after an unknown outcome, it may store them twice. */
  async append(events: readonly RecordedEvent[]): Promise<void> {
    await this.#database.query(
      `insert into ${this.#database.schema}.event (at, level, kind, node, detail)
       select to_timestamp(at / 1000), level, kind, node, detail
       from unnest($1::float8[], $2::text[], $3::text[], $4::text[], $5::jsonb[])
         with ordinality as x(at, level, kind, node, detail, place) order by place`,
      [
        events.map(({ at }) => at),
        events.map(({ level }) => level),
        events.map(({ kind }) => kind),
        events.map(({ node }) => node),
        events.map(({ detail }) => JSON.stringify(detail)),
      ],
    );
  }

  /** Deletes events older than this. */
  async forgetOld(days: number): Promise<void> {
    await this.#database.query(
      `delete from ${this.#database.schema}.event where at < clock_timestamp() - $1 * interval '1 day'`,
      [days],
    );
  }

  /** The newest first, or the oldest first when `after` is given. */
  async list({ before, after, kind, level, node, limit }: EventFilter): Promise<StoredEvent[]> {
    return this.#database.query<EventRow>(
      `select id, at, level, kind, node, detail from ${this.#database.schema}.event
       where ($1::bigint is null or id < $1) and ($2::bigint is null or id > $2)
         and ($3::text is null or kind = $3) and ($4::text is null or level = $4) and ($5::text is null or node = $5)
       order by id ${after === null ? 'desc' : 'asc'} limit $6`,
      [before, after, kind, level, node, limit],
    );
  }
}
