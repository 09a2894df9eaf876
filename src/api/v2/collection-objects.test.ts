import { expect, test } from 'vitest';
import type { Collection } from '../../catalog/catalog.ts';
import { CollectionObjects } from './collection-objects.ts';

const apples: Collection = {
  id: 'c1',
  tenant: 't',
  database: 'd',
  name: 'apples',
  state: 'ready',
  createdLSN: 1,
  shards: [{ id: 's1', dimension: null }],
};

/** Objects read from a node that knows the collection as `current` has it; null: it has deleted it. */
function objectsAfter(current: Collection | null): CollectionObjects {
  let known: Collection | null = apples;
  return new CollectionObjects({
    catalog: {
      refresh: async () => void (known = current),
      collection: () => known,
      copies: () => [{ physical: 'p1', name: known?.name ?? '', copy: 0, suspect: null }],
    },
    reader: {
      readBody: async (_requirements, { path }) => {
        if (current === null || !path('p1').endsWith(`/${current.name}`)) throw new Error('HTTP 404');
        return Buffer.from('{"id":"p1","name":"x","tenant":"x","database":"x","dimension":null}');
      },
    },
    floors: { schema: 0 },
  });
}

const NEVER = new AbortController().signal;
const names = (objects: readonly (Buffer | null)[]): (string | null)[] =>
  objects.map((object) => object && (JSON.parse(object.toString()) as { name: string }).name);

test('a list has a collection that is renamed while it is read, under either name', async () => {
  const renamed = objectsAfter({ ...apples, name: 'plums' });
  expect(names(await renamed.many([apples], NEVER))).toEqual(['plums']);
  expect(names(await objectsAfter(apples).many([apples], NEVER))).toEqual(['apples']);
});

test('a collection read by its id is there under its new name, and by the old name is not', async () => {
  const renamed = { ...apples, name: 'plums' };
  expect(names([await objectsAfter(renamed).one(apples)])).toEqual(['plums']);
  expect(await objectsAfter(renamed).named(apples)).toBeNull();
});

test.each([null, { ...apples, state: 'deleted' as const }])(
  'a deleted collection is not there (%#)',
  async (current) => {
    const objects = (): CollectionObjects =>
      objectsAfter(current === null ? null : { ...current, name: 'gone' });
    expect(await objects().many([apples], NEVER)).toEqual([]);
    expect([await objects().one(apples), await objects().named(apples)]).toEqual([null, null]);
  },
);
