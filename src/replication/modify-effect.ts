// Whether a collection shows that a refused modification was not applied to it (R5).

import type { NodeResponse } from '../chroma/client/node-request.ts';
import { isSuccess } from '../chroma/protocol/response-effect.ts';

interface Modification {
  readonly new_name?: string | null;
  readonly new_metadata?: Readonly<Record<string, unknown>> | null;
}

interface ListedCollection {
  readonly id: string;
  readonly name: string;
  readonly metadata: Readonly<Record<string, unknown>> | null;
}

const isPlain = (value: unknown): boolean =>
  typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean';

/**
 * True when the collection with this id, in the list of a node, lacks any part of the modification: a server applies all of
 * it or nothing, in one transaction. False when it may have been applied.
 */
export function lacksModification(body: Buffer, list: NodeResponse, physical: string): boolean {
  if (!isSuccess(list)) return false;
  const collections = JSON.parse(list.body.toString()) as readonly ListedCollection[];
  const found = collections.find(({ id }) => id === physical);
  if (found === undefined) return false;
  const { new_name: name = null, new_metadata: metadata = null } = JSON.parse(
    body.toString(),
  ) as Modification;
  if (name !== null && name !== found.name) return true;
  return Object.entries(metadata ?? {}).some(
    ([key, value]) => isPlain(value) && found.metadata?.[key] !== value,
  );
}
