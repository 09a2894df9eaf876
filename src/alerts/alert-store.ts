// Open alerts in PostgreSQL. Of all gateways that see a condition, the one whose statement opens or closes the alert
// sends the message.

import type { Database } from '../postgres/database.ts';
import type { AlertKind } from './alert-kinds.ts';

export interface OpenAlert {
  readonly key: string;
  readonly kind: AlertKind;
  readonly since: Date;
  readonly detail: string;
}

export interface NewAlert {
  readonly key: string;
  readonly kind: AlertKind;
  /** Null: about the cluster. */
  readonly gateway: string | null;
  /** Wall clock, ms since the epoch. */
  readonly sinceMs: number;
  readonly detail: string;
}

// Alerts of gateways that exist no more are closed after a while, and closed ones are deleted.
const KEPT_DAYS = 30;
// A gateway looks every few seconds.
const GONE_MINUTES = 5;

export class AlertStore {
  readonly #database: Pick<Database, 'query' | 'schema'>;

  constructor(database: Pick<Database, 'query' | 'schema'>) {
    this.#database = database;
  }

  /** True when this call has opened it: false when it is open. */
  async open({ key, kind, gateway, sinceMs, detail }: NewAlert): Promise<boolean> {
    const rows = await this.#database.query(
      `insert into ${this.#table} as a (key, kind, gateway, since, detail)
       values ($1, $2, $3, to_timestamp($4::float8 / 1000), $5)
       on conflict (key) do update set since = excluded.since, detail = excluded.detail,
         opened_at = clock_timestamp(), seen_at = clock_timestamp(), closed_at = null
         where a.closed_at is not null returning key`,
      [key, kind, gateway, sinceMs, detail],
    );
    return rows.length > 0;
  }

  /** True when this call has closed it. */
  async close(key: string): Promise<boolean> {
    const rows = await this.#database.query(
      `update ${this.#table} set closed_at = clock_timestamp() where key = $1 and closed_at is null returning key`,
      [key],
    );
    return rows.length > 0;
  }

  /** Open alerts about the cluster (null) or one gateway, which thereby says that it still exists. */
  async listOpen(gateway: string | null): Promise<OpenAlert[]> {
    return (await this.#database.query(
      `update ${this.#table} set seen_at = clock_timestamp()
       where closed_at is null and gateway is not distinct from $1 returning key, kind, since, detail`,
      [gateway],
    )) as unknown as OpenAlert[];
  }

  /** Open alerts of the cluster and of every gateway that still exists. */
  async listAll(): Promise<OpenAlert[]> {
    return (await this.#database.query(
      `select key, kind, since, detail from ${this.#table}
       where closed_at is null and (gateway is null or seen_at > clock_timestamp() - interval '${GONE_MINUTES} minutes')
       order by since, key`,
    )) as unknown as OpenAlert[];
  }

  async forgetOld(): Promise<void> {
    await this.#database.query(
      `delete from ${this.#table} where coalesce(closed_at, opened_at) < clock_timestamp() - interval '${KEPT_DAYS} days'
         and (closed_at is not null or gateway is not null)`,
    );
  }

  get #table(): string {
    return `${this.#database.schema}.alert`;
  }
}
