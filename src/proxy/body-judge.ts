// Whether a Chroma server would take the body of a create, without its doing anything: the body is shown to a node
// under a database that does not exist, which a server looks for only after it has judged the body. So a body that is
// refused is refused in a server's own words, before anything is logged, and also when the collection exists already.

import { RESERVED } from '../chroma/marker.ts';
import type { NodeClient } from '../chroma/node-client.ts';
import { collectionsPath } from '../chroma/paths.ts';
import type { WholeAnswer } from './answer.ts';

const NOWHERE = { tenant: RESERVED.tenant, database: 'nowhere' };
// Who does not answer by then does not judge: the primary will, when the entry is applied.
const DEADLINE_MS = 1_000;

export class BodyJudge {
  readonly #node: () => NodeClient | null;

  /** `node`: one that answers at the moment, or null. */
  constructor(node: () => NodeClient | null) {
    this.#node = node;
  }

  /** The refusal of a create's body; null when it is sound, or nobody could be asked. Never throws. */
  async refusalOfCreate(body: Buffer): Promise<WholeAnswer | null> {
    const path = collectionsPath(NOWHERE);
    const answer = await this.#node()
      ?.read({ method: 'POST', path, body, deadlineMs: DEADLINE_MS })
      .catch(() => null);
    if (answer == null || (answer.status !== 400 && answer.status !== 422)) return null;
    const missing = `Database [${NOWHERE.database}]`;
    return answer.body.includes(missing) ? null : { status: answer.status, body: answer.body };
  }
}
