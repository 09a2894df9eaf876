// Further members of each kind of load, drawn from a seed: other operations, fields and sizes around the limits at which
// servers fail.

import type { Drill, Scenario } from './drill.ts';
import type { Operation } from './history.ts';
import { bulk, longId, numbered } from './records.ts';
import { deletionOf, loadersOf } from './scenarios.ts';
import { between, oneOf, type Random, range } from '../support/draw.ts';
import { seededRandom } from '../support/seeded-random.ts';

const MIB = 2 ** 20;

type Draw = (random: Random) => Pick<Scenario, 'about' | 'run'>;

const largeCall: Draw = (random) => {
  const mebibytes = between(random, 8, 38);
  const documentLength = oneOf(random, [500, 4_000, 60_000, MIB / 2]);
  const operation = oneOf<Operation>(random, ['add', 'upsert']);
  const count = Math.floor((mebibytes * MIB) / (documentLength + 120));
  return {
    about: `one ${operation} of ${count} documents of ${documentLength} characters`,
    run: async (drill) => {
      const target = await drill.collection('large');
      await bulk(drill, target, { operation, ids: numbered('d', count), documentLength });
      // Updates of the same records, and of some that are missing, in one call.
      const ids = numbered('d', Math.min(count, 500) + 5);
      await bulk(drill, target, { operation: 'update', ids, documentLength: 200 });
    },
  };
};

const CONDITIONS: Readonly<Record<string, (count: number) => object>> = {
  '$or of equalities': (count) => ({ where: { $or: range(count).map((k) => ({ k })) } }),
  '$and of inequalities': (count) => ({ where: { $and: range(count).map((n) => ({ k: { $ne: -1 - n } })) } }),
  $in: (count) => ({ where: { k: { $in: range(count) } } }),
  $nin: (count) => ({ where: { k: { $nin: range(count).map((n) => -1 - n) } } }),
  '$or of $contains': (count) => ({
    where_document: { $or: range(count).map((n) => ({ $contains: `no${n}` })) },
  }),
  '$and of $not_contains': (count) => ({
    where_document: { $and: range(count).map((n) => ({ $not_contains: `no${n}` })) },
  }),
};

/** A filter of a size drawn from `sizes`; whether a server takes it depends on the release. */
const filter =
  (sizes: readonly (readonly [number, number])[]): Draw =>
  (random) => {
    const kind = oneOf(random, Object.keys(CONDITIONS));
    const [min, max] = oneOf(random, sizes);
    const count = between(random, min, max);
    const body = CONDITIONS[kind]!(count);
    return {
      about: `a delete by ${kind} of ${count}`,
      run: (drill) => filtered(drill, body, !kind.startsWith('$or of $c')),
    };
  };

async function filtered(drill: Drill, body: object, matches: boolean): Promise<void> {
  const target = await drill.collection('filtered');
  const ids = numbered('f', 10);
  const metadatas = range(10).map((k) => ({ k }));
  await bulk(drill, target, { operation: 'add', ids, metadatas, documentLength: 20 });
  await drill.write(target, body, { operation: 'delete', ids: matches ? ids : [], expected: 'either' });
}

const selection: Draw = (random) => {
  const length = between(random, 17_000, 60_000);
  const count = Math.ceil((70 * MIB) / length);
  return {
    about: `a delete by filter of ${count} ids of ${length} characters`,
    run: async (drill) => {
      const target = await drill.collection('selection');
      const ids = range(count).map((n) => longId(length, n));
      const perCall = Math.floor((16 * MIB) / length);
      for (let at = 0; at < count; at += perCall) {
        const some = ids.slice(at, at + perCall);
        await bulk(drill, target, { ids: some, metadatas: some.map(() => ({ ws: 1 })) });
      }
      await drill.write(target, { where: { ws: 1 } }, { operation: 'delete', ids, expected: 'applied' });
    },
  };
};

const failingNode: Draw = (random) => {
  const role = oneOf(random, ['primary', 'replica'] as const);
  const operation = oneOf<Operation>(random, ['add', 'upsert']);
  const records = between(random, 300, 1_500);
  return {
    about: `a ${role} that answers 500 for one collection, ${operation} of ${records} records`,
    run: async (drill) => {
      const target = await drill.collection('failing');
      const primary = await drill.cluster.primary();
      const replica = drill.cluster.local.nodes.find(({ id }) => id !== primary)!.id;
      drill.breakIndex(role === 'primary' ? primary : replica, target);
      for (const call of range(6))
        await bulk(drill, target, { operation, ids: numbered(`e${call}-`, records) });
    },
  };
};

const noResults: Draw = (random) => {
  const deleted = between(random, 1, 20);
  const queries = between(random, 1, 3);
  return {
    about: `${queries} query vectors for no results after a delete of ${deleted}`,
    run: async (drill) => {
      const target = await drill.collection('nothing');
      const ids = numbered('q', 21);
      await bulk(drill, target, { operation: 'add', ids });
      const gone = ids.slice(0, deleted);
      await drill.write(target, { ids: gone }, { operation: 'delete', ids: gone, expected: 'applied' });
      const body = { query_embeddings: range(queries).map(() => [1, 2, 3]), n_results: 0 };
      const isEmpty = (value: unknown): boolean =>
        JSON.stringify((value as { ids?: unknown }).ids) === JSON.stringify(range(queries).map(() => []));
      await drill.rightRead(target, 'query', body, isEmpty);
    },
  };
};

const longIds: Draw = (random) => {
  const length = oneOf(random, [16_383, 16_384, between(random, 17_000, 60_000)]);
  const count = Math.min(600, Math.floor((24 * MIB) / length));
  const operation = oneOf<Operation>(random, ['add', 'upsert', 'update']);
  return {
    about: `${operation} and delete of ${count} ids of ${length} characters`,
    run: async (drill) => {
      const target = await drill.collection('long-ids');
      const ids = range(count).map((n) => longId(length, n));
      await bulk(drill, target, { operation, ids });
      await drill.write(target, { ids }, { operation: 'delete', ids, expected: 'applied' });
    },
  };
};

const loaders: Draw = (random) => {
  const load = {
    loaders: between(random, 4, 16),
    calls: between(random, 1, 3),
    records: oneOf(random, [1, 50, 1_000]),
    documentLength: oneOf(random, [100, 1_000, 2_000]),
  };
  return {
    about: `${load.loaders} loaders, ${load.calls} calls of ${load.records} documents of ${load.documentLength}`,
    run: loadersOf(load),
  };
};

const deletions: Draw = (random) => {
  const count = between(random, 5_462, 40_000);
  return { about: `a delete of ${count} ids`, run: deletionOf(count) };
};

const KINDS: Readonly<Record<string, Draw>> = {
  A: largeCall,
  B: filter([
    [900, 1_100],
    [2_000, 4_000],
    [16_380, 16_400],
  ]),
  C: filter([
    [5_000, 9_000],
    [10_000, 20_000],
  ]),
  D: selection,
  E: failingNode,
  F: noResults,
  G: longIds,
  H: loaders,
  delete: deletions,
};

/** So many further members of each kind; the same ones for the same seed. */
export function membersFrom(seed: number, perKind: number): readonly Scenario[] {
  return Object.entries(KINDS).flatMap(([kind, draw], index) => {
    const random = seededRandom(seed * 31 + index);
    return range(perKind).map((n) => ({ name: `${kind}-drawn-${n + 1}`, ...draw(random) }));
  });
}
