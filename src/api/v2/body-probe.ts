// Whether a Chroma server can read a body, without its doing anything: the body is shown to a node under a database, or
// a collection, that does not exist, which a server looks for only after it has read the body. So what cannot be read is
// refused in a server's own words, before anything is logged, and before it is said that something else is missing.

import { RESERVED } from '../../chroma/client/identity.ts';
import type { NodeClient } from '../../chroma/client/node-client.ts';
import { collectionByIdPath, collectionsPath, recordsPath } from '../../chroma/protocol/paths.ts';
import type { WholeResponse } from '../../http/response.ts';

const NOWHERE = { tenant: RESERVED.tenant, database: 'nowhere' };
// A server draws the ids of collections at random, and never this one.
const NO_COLLECTION = '00000000-0000-0000-0000-000000000000';
// Who does not answer by then does not judge: whoever the call goes to in the end will.
const DEADLINE_MS = 1_000;

export class BodyProbe {
  readonly #node: () => NodeClient | null;

  /** `node`: one that answers at the moment, or null. */
  constructor(node: () => NodeClient | null) {
    this.#node = node;
  }

  /** The refusal of a create's body; null when it is sound, or nobody could be asked. Never throws. */
  async refusalOfCreate(body: Buffer): Promise<WholeResponse | null> {
    const refusal = await this.#ask('POST', collectionsPath(NOWHERE), body);
    return refusal?.body?.includes(`Database [${NOWHERE.database}]`) ? null : refusal;
  }

  /** As refusalOfCreate, for a body that cannot be read; what it asks for is not judged. */
  refusalOf(action: 'modify' | 'get' | 'query', body: Buffer): Promise<WholeResponse | null> {
    if (action === 'modify') return this.#ask('PUT', collectionByIdPath(NOWHERE, NO_COLLECTION), body);
    return this.#ask('POST', recordsPath(NOWHERE, NO_COLLECTION, action), body);
  }

  async #ask(method: 'POST' | 'PUT', path: string, body: Buffer): Promise<WholeResponse | null> {
    const answer = await this.#node()
      ?.read({ method, path, body, deadlineMs: DEADLINE_MS })
      .catch(() => null);
    if (answer == null || (answer.status !== 400 && answer.status !== 422)) return null;
    return { status: answer.status, body: answer.body };
  }
}
