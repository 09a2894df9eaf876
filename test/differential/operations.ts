// Sequences of operations over the whole surface of Chroma's API: a few that make collections and fill them, then
// whatever comes.

import fc from 'fast-check';
import type { Operation } from './operation.ts';
import { protocolOperation } from './protocol.ts';
import { type CollectionPath, firstWrite, recordOperation } from './records.ts';
import {
  collectionName,
  collectionOperation,
  COLLECTIONS,
  databaseOperation,
  firstCollection,
  MAIN,
  SIDE,
  tenantOperation,
} from './schema.ts';

const busyName = fc.oneof(
  { weight: 7, arbitrary: fc.constant(COLLECTIONS[0]) },
  { weight: 2, arbitrary: fc.constant(COLLECTIONS[1]) },
  { weight: 2, arbitrary: collectionName },
);
const idForm = fc.oneof(
  { weight: 20, arbitrary: fc.constant('id') },
  { weight: 2, arbitrary: fc.constantFrom('upper', 'undashed', 'urn') },
);
/** Rarely the wrong database or tenant for the id that follows. */
const home = fc.oneof(
  { weight: 30, arbitrary: fc.constant(MAIN) },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      SIDE,
      `${MAIN}-nonesuch`,
      '/api/v2/tenants/default_tenant/databases/default_database',
    ),
  },
);
const byId: CollectionPath = fc
  .tuple(home, idForm, busyName)
  .map(([path, form, name]) => `${path}/collections/{${form}:${name}}`);

/** What Polychrome refuses on purpose, in a shape that is otherwise right. */
const refused: fc.Arbitrary<Operation> = fc.constantFrom<Operation[]>(
  { action: 'reserved tenant', method: 'GET', path: '/api/v2/tenants/polychrome/databases' },
  { action: 'reserved tenant', method: 'POST', path: '/api/v2/tenants', body: '{"name":"polychrome"}' },
  {
    action: 'reserved tenant',
    method: 'GET',
    path: '/api/v2/tenants/polychrome/databases/main-db/collections/{id:pears}/count',
  },
  {
    action: 'add',
    method: 'POST',
    path: '/api/v2/tenants/polychrome/databases/x/collections/{id:pears}/add',
    body: '{',
  },
  ...(['add', 'upsert', 'update'] as const).map((call): Operation => ({
    action: call,
    method: 'POST',
    path: `${MAIN}/collections/{id:pears}/${call}`,
    // Always a string: any other value ends the log reader of a bare server for good (docs/chroma-behaviour.md#metadata-keys-that-stop-a-server).
    body: '{"ids":["a"],"embeddings":[[1,2,3]],"metadatas":[{"chroma:document":"a red pear"}]}',
  })),
);

const operation: fc.Arbitrary<Operation> = fc.oneof(
  { weight: 60, arbitrary: recordOperation(byId) },
  { weight: 22, arbitrary: collectionOperation(byId) },
  { weight: 4, arbitrary: databaseOperation },
  { weight: 3, arbitrary: tenantOperation },
  { weight: 12, arbitrary: protocolOperation },
  { weight: 1, arbitrary: refused },
);

/** Any of them, or nothing: to which each shrinks first, so that a failure is left with what it needs. */
const droppable = (one: fc.Arbitrary<Operation>): fc.Arbitrary<Operation | null> =>
  fc.oneof(
    { withCrossShrink: true },
    { weight: 1, arbitrary: fc.constant(null) },
    { weight: 99, arbitrary: one },
  );

/** About 20 operations: two collections are made, one is filled, then whatever comes. */
export const operationSequence: fc.Arbitrary<readonly Operation[]> = fc
  .tuple(
    droppable(firstCollection('pears')),
    droppable(firstCollection('apples')),
    fc.oneof(
      { withCrossShrink: true },
      { weight: 1, arbitrary: fc.constant(null) },
      { weight: 3, arbitrary: firstWrite(`${MAIN}/collections/{id:pears}`) },
    ),
    fc.array(droppable(operation), { minLength: 14, maxLength: 21, size: 'max' }),
  )
  .map(([pears, apples, write, rest]) => [pears, apples, write, ...rest].filter((one) => one !== null));
