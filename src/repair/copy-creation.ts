// Creates the collection of a copy on its node, from the bytes that created and modified it (R27), or finds one that an
// interrupted rebuild left.

import type { Collection } from '../catalog/catalog.ts';
import {
  collectionRequest,
  createCollectionRequest,
  deleteCollectionRequest,
  modifyCollectionRequest,
  type NodeMutation,
  type ShardLocation,
} from '../chroma/protocol/node-requests.ts';
import {
  collectionIdIn,
  isMissing,
  isSuccess,
  type ChromaResponse,
} from '../chroma/protocol/response-effect.ts';
import type { Term } from '../coordination/term.ts';
import { crashPoint } from '../util/crash-point.ts';
import { creationBody, creationBodyOf, isCosine, modificationBody } from './copy-bodies.ts';
import { copyName, type AsideCopy, type CollectionBody, type CopyStore } from './copy-store.ts';
import { CopyFailed } from './copy-target.ts';
import type { EmbeddingRule } from './record-difference.ts';
import { DonorFailed, type CopyNode } from './shard-copier.ts';

export interface CopyCreationOptions {
  readonly copies: Pick<CopyStore, 'begin' | 'created' | 'bodies' | 'keepBody'>;
  readonly newId: () => string;
  /** Whether this gateway still leads; checked before each call is complete. */
  readonly held: () => boolean;
}

export interface CopyToCreate {
  readonly node: CopyNode;
  readonly shard: string;
  readonly collection: Collection;
  readonly donor: CopyNode;
  /** The donor's copy, by the name that the donor knows. */
  readonly source: ShardLocation & { readonly name: string };
  /** What an interrupted rebuild left; null when nothing. */
  readonly left: AsideCopy | null;
}

const READ_DEADLINE_MS = 30_000;

export class CopyCreation {
  readonly #options: CopyCreationOptions;

  constructor(options: CopyCreationOptions) {
    this.#options = options;
  }

  /** The copy, and how its embeddings are compared. Throws CopyFailed, DonorFailed. */
  async copyOf(wanted: CopyToCreate, term: Term): Promise<{ copy: AsideCopy; rule: EmbeddingRule }> {
    const { node, left } = wanted;
    const copy = left !== null && left.fromLSN > 0 ? left : await this.#create(wanted, term);
    const request = collectionRequest(copy, copy.name);
    const found = await node.client.read({ ...request, deadlineMs: READ_DEADLINE_MS });
    if (collectionIdIn(found) !== copy.physical) throw new CopyFailed(`the copy ${copy.name} is gone`);
    return { copy, rule: { isCosine: isCosine(found.body) } };
  }

  async #create(wanted: CopyToCreate, term: Term): Promise<AsideCopy> {
    const { copies, newId } = this.#options;
    const { node, shard, collection, donor, left } = wanted;
    // Before the bodies are read: a modification after it is found in the log, and the copy begun anew.
    const fromLSN = donor.checkpoint();
    const bodies = await this.#bodies(wanted);
    const place = { tenant: collection.tenant, database: collection.database };
    let name = left?.name ?? copyName(newId());
    let number = left?.copy ?? 0;
    if (left === null)
      number = await copies.begin(term.epoch, { node: node.id, shard, physical: newId(), name });
    crashPoint('copy_recorded');
    // An interrupted rebuild may have created it without recording its id.
    if (left !== null) await this.#send(node, deleteCollectionRequest(place, name), isMissing);
    const [creation, ...modifications] = bodies as [CollectionBody, ...CollectionBody[]];
    const created = await this.#send(node, createCollectionRequest(place, creationBody(creation.body, name)));
    const physical = collectionIdIn(created);
    if (physical === null) throw new CopyFailed('the copy was created without an id');
    crashPoint('copy_created');
    for (const { body } of modifications) {
      const change = modificationBody(body);
      if (change !== null) await this.#send(node, modifyCollectionRequest({ ...place, physical }, change));
    }
    await copies.created(term.epoch, { node: node.id, name }, { physical, fromLSN });
    return {
      ...place,
      node: node.id,
      shard,
      physical,
      name,
      state: 'building',
      fromLSN,
      copy: number,
      abandoned: null,
      ageMs: 0,
    };
  }

  async #bodies({ collection, donor, source }: CopyToCreate): Promise<CollectionBody[]> {
    const { copies } = this.#options;
    const bodies = await copies.bodies(collection.id);
    if (bodies[0]?.kind === 'create_collection') return bodies;
    // Created before bodies were kept, and trimmed since: described by the donor, once.
    const request = collectionRequest(source, source.name);
    const object = await donor.client.read({ ...request, deadlineMs: READ_DEADLINE_MS });
    const body = isSuccess(object) ? creationBodyOf(object.body) : null;
    if (body === null) throw new DonorFailed(`${donor.id} does not describe the collection`);
    await copies.keepBody(collection.id, collection.createdLSN, body);
    return [{ kind: 'create_collection', body }];
  }

  async #send(
    node: CopyNode,
    request: NodeMutation,
    isDone: (response: ChromaResponse) => boolean = isSuccess,
  ): Promise<ChromaResponse> {
    const { held } = this.#options;
    const beforeLast = (): void => {
      if (!held()) throw new CopyFailed('this gateway no longer leads');
    };
    const response = await node.client.mutate({ ...request, beforeLast });
    if (isSuccess(response) || isDone(response)) return response;
    const text = response.body.toString('utf8', 0, 300);
    const { status } = response;
    throw new CopyFailed(`${request.operation}: HTTP ${status}: ${text}`, { status });
  }
}
