// Finds what the names and ids in a request's path refer to, with Chroma's errors for what does not exist. Tenant and
// database are enforced here: Chroma's servers find a collection by its id alone.

import type { Catalog, Collection } from '../../catalog/catalog.ts';
import { RESERVED } from '../../chroma/client/identity.ts';
import { collectionMissing, type Wording } from '../../chroma/protocol/messages.ts';
import { canonicalUuid, NOT_A_COLLECTION_ID } from '../../chroma/protocol/collection-id.ts';
import type { DatabaseName } from '../../chroma/protocol/paths.ts';
import { PolychromeError } from '../../errors.ts';

export type Params = Readonly<Record<string, string>>;

const DATABASE_BYTES_MIN = 3;

export class Names {
  readonly #catalog: Catalog;
  readonly #wording: () => Wording;

  constructor(catalog: Catalog, wording: () => Wording) {
    this.#catalog = catalog;
    this.#wording = wording;
  }

  /** The database that a path names. Throws reserved, and invalid_argument for a name that newer releases refuse. */
  place({ tenant = '', database = '' }: Params): DatabaseName {
    refuseReserved(tenant);
    if (this.#wording().modern && Buffer.byteLength(database) < DATABASE_BYTES_MIN) {
      throw new PolychromeError('invalid_argument', 'database name must be at least 3 characters');
    }
    return { tenant, database };
  }

  /** The collection that a path names by id. Throws not_found, invalid_argument, reserved. */
  async byId(params: Params): Promise<Collection> {
    const { tenant, database } = this.place(params);
    const id = canonicalUuid(params['collection'] ?? '');
    if (id === null) throw new PolychromeError('invalid_argument', NOT_A_COLLECTION_ID);
    const collection = this.#catalog.collection(id);
    if (collection?.state === 'ready' && collection.tenant === tenant && collection.database === database) {
      return collection;
    }
    throw this.missing(id);
  }

  missing(id: string): PolychromeError {
    return collectionMissing(this.#wording(), canonicalUuid(id) ?? id);
  }
}

/** The reserved tenant holds markers and canaries on the nodes. Throws reserved. */
export function refuseReserved(tenant: string): void {
  if (tenant === RESERVED.tenant) {
    throw new PolychromeError('reserved', `Tenant [${tenant}] is reserved for Polychrome itself.`);
  }
}
