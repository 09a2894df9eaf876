// Drops a copy that is not in use from its node, by steps that may be repeated: it gets a name of its own by its id, so that
// the name it had is never the one that is deleted; then it is deleted by that name.

import { deleteCollectionRequest, modifyCollectionRequest } from '../chroma/protocol/node-requests.ts';
import { isMissing, isSuccess } from '../chroma/protocol/response-effect.ts';
import { crashPoint } from '../util/crash-point.ts';
import { emptyCollection, mutateWhileHeld, type ContentRemoval } from './node-content.ts';
import { copyName, type AsideCopy, type CopyStore } from './copy-store.ts';

export interface CopyDropOptions extends ContentRemoval {
  readonly copies: Pick<CopyStore, 'rename' | 'dropped'>;
  readonly newId: () => string;
}

/** Throws when the node refuses a step or does not respond; the copy is then dropped later. */
export async function dropCopy(copy: AsideCopy, epoch: number, options: CopyDropOptions): Promise<void> {
  const { copies, newId, leavesLists } = options;
  let { name } = copy;
  // A copy in the making has had a name of its own since before it existed.
  if (copy.state === 'retired') {
    name = copyName(newId());
    await copies.rename(epoch, copy, name);
    const renamed = await mutateWhileHeld(
      modifyCollectionRequest(copy, Buffer.from(JSON.stringify({ new_name: name }))),
      options,
    );
    crashPoint('drop_renamed');
    if (isMissing(renamed)) return copies.dropped(epoch, copy);
    if (!isSuccess(renamed)) throw new Error(`HTTP ${renamed.status} to the renaming of ${copy.name}`);
  }
  if (leavesLists && copy.state === 'retired') await emptyCollection(copy, options);
  const deleted = await mutateWhileHeld(deleteCollectionRequest(copy, name), options);
  if (!isSuccess(deleted) && !isMissing(deleted))
    throw new Error(`HTTP ${deleted.status} to the deletion of ${name}`);
  crashPoint('drop_done');
  await copies.dropped(epoch, copy);
}
