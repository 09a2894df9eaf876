// A bounded pool of connections to PostgreSQL. Each purpose has its own pool, so that a slow query of one kind delays
// neither the renewal of the lease nor an append.

import pg from 'pg';
import { LongValue, queryWithLongValue } from './long-value.ts';
import type { PostgresServers, ServerClient } from './postgres-servers.ts';

// LSNs, views and epochs are bigint in PostgreSQL and number here: exact up to 2^53, some 285,000 years at 1,000 a second.
pg.types.setTypeParser(pg.types.builtins.INT8, Number);

/** SQLSTATE read_only_sql_transaction. */
const READ_ONLY = '25006';

type ServerPoolClient = pg.PoolClient & ServerClient & { readonly processID: number };

export interface DatabaseOptions {
  /** Where to connect to; the pools of one gateway share it. */
  readonly servers: PostgresServers;
  /** The PostgreSQL schema that holds this replica group. */
  readonly schema: string;
  /** Maximum number of connections. */
  readonly connectionsMax: number;
  /** A statement that takes longer is given up; in a transaction the server cancels it. ms. */
  readonly statementTimeoutMs: number;
  readonly applicationName: string;
  readonly onError: (error: Error) => void;
  /** Called with each WARNING that the server sends. */
  readonly onWarning?: (text: string) => void;
}

export type Row = Record<string, unknown>;

/**
 * Relies on no state of a session, so that a pooler in transaction mode works: every object is qualified, statements have
 * no name, and locks and settings end with their transaction.
 */
export class Database {
  /** The quoted schema name, which qualifies every object. */
  readonly schema: string;
  readonly #pool: pg.Pool;
  readonly #servers: PostgresServers;
  readonly #statementTimeoutMs: number;

  constructor(options: DatabaseOptions) {
    this.schema = pg.escapeIdentifier(options.schema);
    this.#servers = options.servers;
    this.#statementTimeoutMs = options.statementTimeoutMs;
    this.#pool = new pg.Pool({
      Client: options.servers.clientClass(),
      max: options.connectionsMax,
      connectionTimeoutMillis: options.statementTimeoutMs,
      // The client's limit is above the server's; it ends statements of a server that does not respond at all.
      query_timeout: options.statementTimeoutMs + 1_000,
      application_name: options.applicationName,
      keepAlive: true,
      // Keeps connections open between requests, which saves the time to connect.
      idleTimeoutMillis: 30_000,
    });
    this.#pool.on('error', options.onError);
    this.#pool.on('connect', (client) => {
      client.on('error', options.onError);
      client.on('notice', ({ severity, message }) => {
        if (severity === 'WARNING') options.onWarning?.(message ?? '');
      });
    });
  }

  /** Open connections, the unused ones among them, and statements that wait for one. */
  get load(): { readonly open: number; readonly idle: number; readonly waiting: number } {
    const { totalCount, idleCount, waitingCount } = this.#pool;
    return { open: totalCount, idle: idleCount, waiting: waitingCount };
  }

  get connectionsMax(): number {
    return this.#pool.options.max;
  }

  /**
   * Runs one statement on a pooled connection. The last value may be a LongValue. `beforeSend` runs before the statement
   * is sent: an error it throws, and NotConnected, prove that nothing was sent.
   */
  async query<R extends Row = Row>(
    text: string,
    values: readonly unknown[] = [],
    beforeSend?: () => void,
  ): Promise<R[]> {
    const last = values.at(-1);
    const long = last instanceof LongValue ? last : null;
    const config: pg.QueryConfig = {
      text,
      values: (long === null ? values : values.slice(0, -1)) as unknown[],
    };
    const client = await this.#connect();
    let broken: Error | undefined;
    try {
      beforeSend?.();
      return long === null
        ? (await client.query<R>(config)).rows
        : await queryWithLongValue<R>(client, config, long);
    } catch (error) {
      if (!isServerRefusal(error) || this.#isDemoted(client, error)) broken = error as Error;
      throw error;
    } finally {
      client.release(broken);
    }
  }

  /** A connection to the server in use, on whichever server that is now. */
  async #connect(): Promise<ServerPoolClient> {
    const servers = this.#servers;
    for (let attempts = 1; ; attempts++) {
      const { current } = servers;
      try {
        const client = (await this.#pool.connect()) as ServerPoolClient;
        if (client.server === servers.current) return client;
        client.release(true);
      } catch (error) {
        if (attempts >= servers.count || servers.current === current) throw new NotConnected(error);
      }
    }
  }

  /** Whether the server has become a standby since the connection was made; the pools then leave it. */
  #isDemoted({ server }: ServerPoolClient, error: unknown): boolean {
    const isReadOnly = error instanceof pg.DatabaseError && error.code === READ_ONLY;
    if (isReadOnly) this.#servers.leave(server, error.message);
    return isReadOnly;
  }

  /** Whether a pooler is between this process and the server: it gives out process ids of its own. */
  async isPooled(): Promise<boolean> {
    const client = await this.#connect();
    try {
      const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid');
      return rows[0]?.pid !== client.processID;
    } finally {
      client.release();
    }
  }

  /** Runs `work` in one transaction on one connection; rolls back and rethrows when it throws. */
  async transaction<T>(work: (query: Database['query']) => Promise<T>): Promise<T> {
    const client = await this.#connect();
    let broken: Error | undefined;
    try {
      await client.query(`begin; set local statement_timeout = ${this.#statementTimeoutMs}`);
      const result = await work(
        async (text, values) => (await client.query(text, values as unknown[] | undefined)).rows,
      );
      await client.query('commit');
      return result;
    } catch (error) {
      if (this.#isDemoted(client, error)) broken = error as Error;
      await client.query('rollback').catch((failure: Error) => {
        broken = failure;
      });
      throw error;
    } finally {
      client.release(broken);
    }
  }

  async close(): Promise<void> {
    await this.#pool.end();
  }
}

/** No connection was available, so nothing was sent. */
export class NotConnected extends Error {
  override readonly name = 'NotConnected';
  readonly code: string | undefined;

  constructor(cause: unknown) {
    super(cause instanceof Error ? cause.message : String(cause), { cause });
    this.code = (cause as { code?: string } | null)?.code;
  }
}

/** True when the server refused the statement, which then had no effect. Otherwise its outcome is unknown. */
export function isServerRefusal(error: unknown): error is pg.DatabaseError {
  // Class 08 (connection) and 57 (operator intervention: shutdown, crash) end the session mid-statement.
  return error instanceof pg.DatabaseError && error.code !== undefined && !/^(08|57)/.test(error.code);
}
