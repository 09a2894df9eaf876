// Drops a copy that is not in use from its node, by steps that may be repeated: it gets a name of its own by its id, so that
// the name it had is never the one that is deleted; then it is deleted by that name.

import { deleteByIdsBodies } from '../chroma/batch/merge.ts';
import type { NodeClient } from '../chroma/client/node-client.ts';
import type { NodeResponse } from '../chroma/client/node-request.ts';
import {
  deleteCollectionRequest,
  getRecordsRequest,
  modifyCollectionRequest,
  recordsRequest,
  type NodeMutation,
} from '../chroma/protocol/node-requests.ts';
import { isMissing, isSuccess } from '../chroma/protocol/response-effect.ts';
import { TermOver } from '../coordination/term.ts';
import { crashPoint } from '../util/crash-point.ts';
import { copyName, type AsideCopy, type CopyStore } from './copy-store.ts';

export interface CopyDropOptions {
  readonly client: Pick<NodeClient, 'read' | 'mutate'>;
  readonly copies: Pick<CopyStore, 'rename' | 'dropped'>;
  readonly newId: () => string;
  /** Whether lists in metadata survive the deletion of their collection on these servers: it is emptied first then. */
  readonly leavesLists: boolean;
  readonly idsMax: number;
  /** False once nothing more may be sent: the term is over, or the drop has taken too long. */
  readonly held: () => boolean;
}

const READ_DEADLINE_MS = 30_000;
const PAGE_IDS = 1_000;

/** Throws when the node refuses a step or does not respond; the copy is then dropped later. */
export async function dropCopy(copy: AsideCopy, epoch: number, options: CopyDropOptions): Promise<void> {
  const { copies, newId, leavesLists } = options;
  let { name } = copy;
  // A copy in the making has had a name of its own since before it existed.
  if (copy.state === 'retired') {
    name = copyName(newId());
    await copies.rename(epoch, copy, name);
    const renamed = await mutate(
      modifyCollectionRequest(copy, Buffer.from(JSON.stringify({ new_name: name }))),
      options,
    );
    crashPoint('drop_renamed');
    if (isMissing(renamed)) return copies.dropped(epoch, copy);
    if (!isSuccess(renamed)) throw new Error(`HTTP ${renamed.status} to the renaming of ${copy.name}`);
  }
  if (leavesLists && copy.state === 'retired') await empty(copy, options);
  const deleted = await mutate(deleteCollectionRequest(copy, name), options);
  if (!isSuccess(deleted) && !isMissing(deleted))
    throw new Error(`HTTP ${deleted.status} to the deletion of ${name}`);
  crashPoint('drop_done');
  await copies.dropped(epoch, copy);
}

/** I7: nothing is sent for a leader whose term is over. */
function mutate(request: NodeMutation, { client, held }: CopyDropOptions): Promise<NodeResponse> {
  const beforeLast = (): void => {
    if (!held()) throw new TermOver();
  };
  return client.mutate({ ...request, beforeLast });
}

async function empty(copy: AsideCopy, options: CopyDropOptions): Promise<void> {
  const { client, idsMax } = options;
  let before: string | null = null;
  for (;;) {
    const request = getRecordsRequest(copy, { limit: PAGE_IDS, include: [] });
    const page = await client.read({ ...request, deadlineMs: READ_DEADLINE_MS });
    if (!isSuccess(page)) throw new Error(`HTTP ${page.status} to a read of ${copy.name}`);
    const { ids } = JSON.parse(page.body.toString()) as { ids: string[] };
    const [first] = ids;
    if (first === undefined) return;
    if (first === before)
      throw new Error(`the records of ${copy.name} stay although their deletion succeeds`);
    before = first;
    for (const body of deleteByIdsBodies(ids, idsMax)) {
      const deleted = await mutate(recordsRequest(copy, 'delete', [body]), options);
      if (!isSuccess(deleted)) throw new Error(`HTTP ${deleted.status} to the emptying of ${copy.name}`);
    }
  }
}
