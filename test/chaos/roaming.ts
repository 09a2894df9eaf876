// What a client does that has the addresses of several gateways: it stays with one, and goes to the next when that one
// refuses, is gone or does not respond.

import { ChromaHttp, type TextResponse } from '../support/chroma-http.ts';
import { until } from '../support/until.ts';

// Longer than a failover takes, and far shorter than a run.
const PATIENCE_MS = 12_000;

export interface Address {
  readonly name: string;
  readonly url: string;
}

export interface Exchange {
  /** The gateway that responded, or whose connection ended. */
  readonly gateway: string;
  /** Null without a response. */
  readonly response: TextResponse | null;
  /** Nothing was sent: the connection was refused. */
  readonly isRefused: boolean;
}

export class Roaming {
  readonly #addresses: readonly Address[];
  #at: number;

  constructor(addresses: readonly Address[], first: number) {
    this.#addresses = addresses;
    this.#at = first;
  }

  /** Sends a request once. The next one goes to another gateway if this one was of no use. */
  async exchange(
    method: string,
    path: string,
    body?: string,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<Exchange> {
    const { name, url } = this.#addresses[this.#at % this.#addresses.length]!;
    const init: RequestInit = {
      method,
      headers: { 'content-type': 'application/json', ...headers },
      signal: AbortSignal.timeout(PATIENCE_MS),
      ...(body === undefined ? {} : { body }),
    };
    try {
      const response = await fetch(url + path, init);
      const text = await response.text();
      if (response.status === 503) this.#at += 1;
      return {
        gateway: name,
        response: { status: response.status, text, headers: response.headers },
        isRefused: false,
      };
    } catch (error) {
      this.#at += 1;
      const code = (error as { cause?: { code?: string } }).cause?.code ?? '';
      return { gateway: name, response: null, isRefused: code === 'ECONNREFUSED' };
    }
  }
}

/** Chroma's API through any of several gateways, for a workload that knows of one. */
export class RoamingHttp extends ChromaHttp {
  readonly #roaming: Roaming;
  readonly #gateways: number;

  constructor(addresses: readonly Address[]) {
    super(addresses[0]!.url);
    this.#roaming = new Roaming(addresses, 0);
    this.#gateways = addresses.length;
  }

  /** Between faults a gateway may be about to lead. */
  override async create(name: string, body: object = {}): Promise<string> {
    let id = '';
    await until(async () => {
      id = await super.create(name, { get_or_create: true, ...body });
      return true;
    }, `collection ${name} is created`);
    return id;
  }

  override async call(
    method: string,
    path: string,
    body?: unknown,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<TextResponse> {
    const text = body === undefined || typeof body === 'string' ? body : JSON.stringify(body);
    for (let tries = 1; ; tries++) {
      const { response, isRefused } = await this.#roaming.exchange(method, path, text, headers);
      const isUseless =
        isRefused || (response?.status === 503 && response.text.includes('othing was changed'));
      if (isUseless && tries < this.#gateways) continue;
      if (response !== null) return response;
      throw new Error('no response', { cause: { code: isRefused ? 'ECONNREFUSED' : 'ECONNRESET' } });
    }
  }
}
