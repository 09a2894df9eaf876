// The registered gateways in PostgreSQL.

import type { Database } from '../postgres/database.ts';

export interface GatewayDescription {
  readonly id: string;
  /** Where clients reach it. */
  readonly address: string;
  readonly version: string;
}

export interface RegisteredGateway extends GatewayDescription {
  readonly startedAt: Date;
  /** Time since it was seen last. */
  readonly seenMsAgo: number;
  /** Nodes that respond to its probes. */
  readonly nodesReached: number;
  /** Ascends with each registration; null for a release that has none. */
  readonly number: number | null;
  /** The highest number of another gateway that it takes into account. */
  readonly knows: number;
}

export interface NewRegistration {
  /** How many other gateways are registered. */
  readonly others: number;
  readonly number: number;
}

export class GatewayStore {
  readonly #database: Database;
  /** A gateway that was not seen for so long counts no more. */
  readonly expiryMs: number;

  constructor(database: Database, expiryMs: number) {
    this.#database = database;
    this.expiryMs = expiryMs;
  }

  async register({ id, address, version }: GatewayDescription): Promise<NewRegistration> {
    const [row] = await this.#database.query(
      `select others, number from ${this.#database.schema}.number_gateway($1, $2, $3, $4::float8)`,
      [id, address, version, this.expiryMs],
    );
    return row as unknown as NewRegistration;
  }

  /**
   * Records that the gateway is there, and takes others up to this number into account. False when it counted no more: it
   * must register again.
   */
  async seen(
    id: string,
    { nodesReached, knows }: Pick<RegisteredGateway, 'nodesReached' | 'knows'>,
  ): Promise<boolean> {
    const rows = await this.#database.query(
      `update ${this.#database.schema}.gateway set seen_at = clock_timestamp(), nodes_reached = $2, knows = $4
       where id = $1 and seen_at > clock_timestamp() - $3::float8 * interval '1 ms' returning id`,
      [id, nodesReached, this.expiryMs, knows],
    );
    return rows.length > 0;
  }

  /** The gateway stops, and so do those that counted no more for a hundred times as long. */
  async leave(id: string): Promise<void> {
    await this.#database.query(
      `delete from ${this.#database.schema}.gateway
       where id = $1 or seen_at < clock_timestamp() - $2::float8 * interval '100 ms'`,
      [id, this.expiryMs],
    );
  }

  /** Those that count, in the order in which they started. */
  async list(): Promise<RegisteredGateway[]> {
    return (await this.#database.query(
      `select id, address, version, started_at as "startedAt", nodes_reached as "nodesReached",
         number, knows, (extract(epoch from clock_timestamp() - seen_at) * 1000)::float8 as "seenMsAgo"
       from ${this.#database.schema}.gateway
       where seen_at > clock_timestamp() - $1::float8 * interval '1 ms' order by started_at, id`,
      [this.expiryMs],
    )) as unknown as RegisteredGateway[];
  }
}
