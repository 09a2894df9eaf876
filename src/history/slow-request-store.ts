// Slow requests of all gateways in PostgreSQL: the newest ones, up to a fixed number.

import type { SlowRequest } from '../observability/slow-requests.ts';
import type { Database } from '../postgres/database.ts';

export interface StoredSlowRequest extends Omit<SlowRequest, 'at'> {
  readonly id: number;
  readonly at: Date;
  readonly gateway: string;
}

// Some 300 bytes each: 3 MB.
const KEPT_MAX = 10_000;

export class SlowRequestStore {
  readonly #database: Pick<Database, 'query' | 'schema'>;
  readonly #gateway: string;

  constructor(database: Pick<Database, 'query' | 'schema'>, gateway: string) {
    this.#database = database;
    this.#gateway = gateway;
  }

  async append(requests: readonly SlowRequest[]): Promise<void> {
    const s = this.#database.schema;
    await this.#database.query(
      `with added as (
         insert into ${s}.slow_request (at, gateway, route, collection, status, ms, shape)
         select to_timestamp(at / 1000), $1, route, collection, status, ms, shape
         from unnest($2::float8[], $3::text[], $4::text[], $5::int[], $6::int[], $7::jsonb[])
           as x(at, route, collection, status, ms, shape) returning id)
       delete from ${s}.slow_request where id <= (select max(id) from added) - ${KEPT_MAX}`,
      [
        this.#gateway,
        requests.map(({ at }) => at),
        requests.map(({ route }) => route),
        requests.map(({ collection }) => collection),
        requests.map(({ status }) => status),
        requests.map(({ ms }) => ms),
        requests.map(({ shape }) => JSON.stringify(shape)),
      ],
    );
  }

  /** The slowest of those since a time, or the newest. */
  async list({
    sinceMs,
    bySlowest,
    limit,
  }: {
    readonly sinceMs: number;
    readonly bySlowest: boolean;
    readonly limit: number;
  }): Promise<StoredSlowRequest[]> {
    return (await this.#database.query(
      `select id, at, gateway, route, collection, status, ms, shape from ${this.#database.schema}.slow_request
       where at > clock_timestamp() - $1 * interval '1 ms' order by ${bySlowest ? 'ms desc, id' : 'id desc'} limit $2`,
      [sinceMs, limit],
    )) as unknown as StoredSlowRequest[];
  }
}
