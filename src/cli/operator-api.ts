// A client of the operator API for commands: requests, and errors in plain sentences.

import type { Command } from 'commander';
import { StartupError } from '../errors.ts';

/** The options of every command that calls the operator API. */
export interface OperatorOptions {
  readonly url: string;
  readonly token?: string;
  readonly json?: boolean;
}

/** Adds the options; their defaults are the settings of a gateway in the same environment. */
export function addOperatorOptions(
  command: Command,
  env: Readonly<Record<string, string | undefined>>,
): Command {
  const port = env['ADMIN_PORT'] || env['PORT'] || '8000';
  return command
    .option('--url <url>', 'where the operator API is', `http://127.0.0.1:${port}`)
    .option('--token <token>', 'ADMIN_TOKEN of the gateway; needed from other machines', env['ADMIN_TOKEN'])
    .option('--json', 'print JSON instead of text');
}

// A retry waits for the outcome of its entry: WRITE_TIMEOUT_MS, which is 10 minutes at most.
const TIMEOUT_MS = 610_000;

/** No gateway responded: it is stopped, restarting, or elsewhere. */
export class UnreachableGateway extends StartupError {}

export class OperatorApi {
  readonly #base: URL;
  readonly #token: string | undefined;

  /** Throws StartupError when the URL is not one. */
  constructor({ url, token }: Pick<OperatorOptions, 'url' | 'token'>) {
    if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol)) {
      throw new StartupError(
        `--url must be a URL that begins with http:// or https://; "${url}" is not one.`,
      );
    }
    this.#base = new URL(url);
    this.#token = token;
  }

  get<T>(path: string): Promise<T> {
    return this.#json('GET', path);
  }

  /** The body of a response of any status, for routes whose status is part of what they report. */
  async report<T>(path: string): Promise<T> {
    return this.#parsed(await this.#fetch('GET', path));
  }

  post<T>(path: string): Promise<T> {
    return this.#json('POST', path);
  }

  /** The body of a response, as bytes. */
  async bytes(path: string): Promise<Uint8Array> {
    return new Uint8Array(await (await this.#send('GET', path)).arrayBuffer());
  }

  async #json<T>(method: 'GET' | 'POST', path: string): Promise<T> {
    return this.#parsed(await this.#send(method, path));
  }

  async #parsed<T>(response: Response): Promise<T> {
    return (await response.json().catch(() => {
      throw this.#notPolychrome();
    })) as T;
  }

  async #send(method: 'GET' | 'POST', path: string): Promise<Response> {
    const response = await this.#fetch(method, path);
    if (response.ok) return response;
    const message = messageOf(await response.text());
    if (message !== null) throw new StartupError(message);
    throw this.#notPolychrome();
  }

  async #fetch(method: 'GET' | 'POST', path: string): Promise<Response> {
    const headers: Record<string, string> = {};
    if (this.#token !== undefined) headers['authorization'] = `Bearer ${this.#token}`;
    const signal = AbortSignal.timeout(TIMEOUT_MS);
    try {
      return await fetch(new URL(path, this.#base), { method, headers, signal, redirect: 'error' });
    } catch (error) {
      const { cause } = error as { cause?: { code?: string } };
      throw new UnreachableGateway(
        `No gateway responds at ${this.#base.origin} (${cause?.code ?? String(error)}). Start it, or name another with --url.`,
      );
    }
  }

  #notPolychrome(): StartupError {
    return new StartupError(
      `The server at ${this.#base.origin} has no operator API. If ADMIN_PORT is set there, name that port with --url.`,
    );
  }
}

function messageOf(text: string): string | null {
  try {
    const value: unknown = JSON.parse(text);
    const hasMessage = typeof value === 'object' && value !== null && 'message' in value;
    return hasMessage ? String(value.message) : null;
  } catch {
    return null;
  }
}
