// The two sides under hostile requests: Polychrome, whose nodes must survive, and a bare server, which may end or hang
// and is then started again.

import type { EndpointResponse, Endpoint } from '../endpoint.ts';
import { openEndpoint } from '../endpoint.ts';
import type { WireRequest } from '../operation.ts';
import { type Servers, startServers } from '../servers.ts';

export interface Subjects {
  readonly release: string;
  readonly a: Endpoint;
  /** No response when it ended, hung or dropped the connection; it works again at the next request. */
  readonly b: Endpoint;
  /** Process ids of the nodes behind Polychrome: a node that ended has another one. */
  nodePids(): readonly (number | null)[];
  stop(): Promise<void>;
}

const NO_RESPONSE: EndpointResponse = { status: 0, contentType: '', body: Buffer.alloc(0) };

export async function startSubjects(chroma: string | undefined): Promise<Subjects> {
  const servers = await startServers({ chroma });
  const a = openEndpoint(servers.a);
  const b = new RestartedEndpoint(servers);
  return {
    release: servers.release,
    a: { send: (request) => a.send(request).catch(asNoResponse), close: () => a.close() },
    b,
    nodePids: () => servers.nodePids(),
    async stop() {
      await Promise.all([a.close(), b.close()]);
      await servers.stop();
    },
  };
}

// Refused connections and headers that never come: what a client sees of a server that ended or hangs.
function asNoResponse(error: unknown): EndpointResponse {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  if (/^(?:UND_ERR_|ECONN|EPIPE)/.test(code)) return NO_RESPONSE;
  throw error;
}

class RestartedEndpoint implements Endpoint {
  readonly #servers: Servers;
  #endpoint: Endpoint;

  constructor(servers: Servers) {
    this.#servers = servers;
    this.#endpoint = openEndpoint(servers.b);
  }

  async send(request: WireRequest): Promise<EndpointResponse> {
    const response = await this.#endpoint.send(request).catch(asNoResponse);
    if (response.status === 0 && !(await this.#isResponding())) {
      await this.#endpoint.close();
      await this.#servers.restartBare();
      this.#endpoint = openEndpoint(this.#servers.b);
    }
    return response;
  }

  // A panic of one handler leaves the process working.
  async #isResponding(): Promise<boolean> {
    const heartbeat = { method: 'GET', path: '/api/v2/heartbeat', headers: {}, body: null };
    const response = await this.#endpoint.send(heartbeat).catch(asNoResponse);
    return response.status === 200;
  }

  close(): Promise<void> {
    return this.#endpoint.close();
  }
}
