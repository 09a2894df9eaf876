// Where the pools of a gateway connect to: one server at a time, the first of DATABASE_URL that accepts writes, with
// credentials that may change while the gateway runs.

import { readFileSync } from 'node:fs';
import { callbackify } from 'node:util';
import pg from 'pg';
import { StartupError } from '../errors.ts';
import {
  DATABASE_URL_FORM,
  parseDatabaseUrl,
  type DatabaseAddress,
  type DatabaseServer,
} from './database-url.ts';

export interface PostgresServersOptions {
  /** The connection string, or the file that holds it, which is read again for each connection. */
  readonly url: string | { readonly file: string };
  /** Replaces the password of the connection string. */
  readonly password?: { password(): Promise<string>; forget(): void };
  /** Called when the file cannot be read any more: the last connection string stays in use. */
  readonly onError?: (reason: string) => void;
  /** Called when connections go to another server from now on. */
  readonly onMoved?: (from: string, to: string, reason: string) => void;
}

/** A client, and the server it was made for. */
export interface ServerClient extends pg.Client {
  readonly server: string;
}

// With other servers to try, one that does not respond is given up sooner than a single one.
const CONNECT_MS_OF_SEVERAL = 3_000;

export class PostgresServers {
  readonly #options: PostgresServersOptions;
  #address: DatabaseAddress;
  #index = 0;

  /** Throws StartupError when the connection string is missing or not valid. */
  constructor(options: PostgresServersOptions) {
    this.#options = options;
    this.#address = this.#read();
    if (options.password !== undefined && this.#address.hasPassword)
      throw new StartupError(
        'DATABASE_PASSWORD_COMMAND is set and DATABASE_URL holds a password: remove one of them.',
      );
  }

  /** The server that connections go to; a connection to another one is no longer used. */
  get current(): string {
    return this.#server.name;
  }

  /** All of them, for messages; without credentials. */
  get label(): string {
    return this.#address.servers.map(({ name }) => name).join(', ');
  }

  get count(): number {
    return this.#address.servers.length;
  }

  /** A class of clients, for a pool, that connect to the current server. */
  clientClass(): new (config?: pg.ClientConfig) => ServerClient {
    const current = (): DatabaseServer => this.#refreshed();
    const isOneOfSeveral = (): boolean => this.count > 1;
    const connected = (client: ServerClient): Promise<void> => this.#verify(client);
    const failed = (name: string, error: Error): void => this.#connectFailed(name, error);
    const { password } = this.#options;
    return class extends pg.Client implements ServerClient {
      readonly server: string;

      constructor(config: pg.ClientConfig = {}) {
        const { name, url } = current();
        super({
          ...config,
          connectionString: url,
          ...(isOneOfSeveral() ? { connectionTimeoutMillis: CONNECT_MS_OF_SEVERAL } : {}),
        });
        this.server = name;
        // The pool listens once the client is connected. A connection that ends before must not end the process: the next
        // statement on it fails.
        this.on('error', () => undefined);
        if (password !== undefined)
          Object.defineProperty(this, 'password', { value: () => password.password(), writable: true });
        const connect = async (): Promise<void> => {
          try {
            await super.connect();
          } catch (error) {
            failed(name, error as Error);
            throw error;
          }
          await connected(this).catch(async (error: unknown) => {
            await this.end();
            throw error;
          });
        };
        // The pool connects with a callback, and its own error says neither which server failed nor why.
        this.connect = callbackify(connect) as pg.Client['connect'];
      }
    };
  }

  /** The server cannot be used: the next one is tried. */
  leave(name: string, reason: string): void {
    const { servers } = this.#address;
    // Connections that fail together move on once.
    if (servers.length === 1 || this.current !== name) return;
    this.#index = (this.#index + 1) % servers.length;
    this.#options.onMoved?.(name, this.current, reason);
  }

  get #server(): DatabaseServer {
    return this.#address.servers[this.#index] as DatabaseServer;
  }

  /** Throws when the server of a new connection accepts no writes; asked only when there may be standbys. */
  async #verify(client: ServerClient): Promise<void> {
    if (!this.#address.isWritableRequired) return;
    const query = {
      text: `select pg_is_in_recovery() or current_setting('transaction_read_only')::boolean as "isReadOnly"`,
      query_timeout: CONNECT_MS_OF_SEVERAL,
    };
    try {
      const { rows } = await client.query<{ isReadOnly: boolean }>(query);
      if (rows[0]?.isReadOnly !== false) throw new Error(`PostgreSQL at ${client.server} accepts no writes`);
    } catch (error) {
      this.leave(client.server, (error as Error).message);
      throw error;
    }
  }

  #connectFailed(name: string, error: Error): void {
    const code = error instanceof pg.DatabaseError ? (error.code ?? '') : null;
    if (code?.startsWith('28') === true) this.#options.password?.forget();
    // A server that refuses the role or has no connection left is still the right one. Class 57: it is starting
    // or stopping.
    if (code === null || code.startsWith('57')) this.leave(name, error.message);
  }

  /** The server for a new connection, with the credentials that hold now. */
  #refreshed(): DatabaseServer {
    if (typeof this.#options.url === 'string') return this.#server;
    const { current } = this;
    try {
      this.#address = this.#read();
    } catch (error) {
      this.#options.onError?.((error as Error).message);
      return this.#server;
    }
    const same = this.#address.servers.findIndex(({ name }) => name === current);
    this.#index = Math.max(0, same);
    return this.#server;
  }

  #read(): DatabaseAddress {
    const { url } = this.#options;
    if (typeof url === 'string') return addressIn(url, 'DATABASE_URL');
    let text: string;
    try {
      // Synchronous: a small local file, and pools create clients synchronously.
      text = readFileSync(url.file, 'utf8').trim();
    } catch (error) {
      throw new StartupError(`DATABASE_URL_FILE cannot be read: ${(error as Error).message}.`, {
        cause: error,
      });
    }
    return addressIn(text, 'DATABASE_URL_FILE');
  }
}

function addressIn(text: string, setting: string): DatabaseAddress {
  const address = parseDatabaseUrl(text);
  if (address === null) throw new StartupError(`${setting} ${DATABASE_URL_FORM}.`);
  return address;
}
