// Has a node validate a body without effect: the body is sent under a database or a collection that does not exist, which
// a server looks for only after it has parsed the body. So a malformed body gets the server's own refusal before anything
// is logged, and before the response that something else is missing.

import { RESERVED } from '../../chroma/client/identity.ts';
import type { NodeClient } from '../../chroma/client/node-client.ts';
import { collectionByIdPath, collectionsPath, recordsPath } from '../../chroma/protocol/paths.ts';
import type { WholeResponse } from '../../http/response.ts';

const NOWHERE = { tenant: RESERVED.tenant, database: 'nowhere' };
// A server draws the ids of collections at random, and never this one.
const NO_COLLECTION = '00000000-0000-0000-0000-000000000000';
// Without a response by then the body counts as valid; the node that gets the call validates it.
const DEADLINE_MS = 1_000;

export class BodyProbe {
  readonly #node: () => NodeClient | null;

  /** `node`: one that responds at the moment, or null. */
  constructor(node: () => NodeClient | null) {
    this.#node = node;
  }

  /** The refusal of a create's body; null when it is valid, or no node responded. Never throws. */
  async refusalOfCreate(body: Buffer): Promise<WholeResponse | null> {
    const refusal = await this.#send('POST', collectionsPath(NOWHERE), body);
    return refusal?.body?.includes(`Database [${NOWHERE.database}]`) ? null : refusal;
  }

  /** As refusalOfCreate, for a body that cannot be parsed; what it requests is not validated. */
  refusalOf(action: 'modify' | 'get' | 'query', body: Buffer): Promise<WholeResponse | null> {
    if (action === 'modify') return this.#send('PUT', collectionByIdPath(NOWHERE, NO_COLLECTION), body);
    return this.#send('POST', recordsPath(NOWHERE, NO_COLLECTION, action), body);
  }

  async #send(method: 'POST' | 'PUT', path: string, body: Buffer): Promise<WholeResponse | null> {
    const response = await this.#node()
      ?.read({ method, path, body, deadlineMs: DEADLINE_MS })
      .catch(() => null);
    if (response == null || (response.status !== 400 && response.status !== 422)) return null;
    return { status: response.status, body: response.body };
  }
}
