// The loads that must not stop a cluster: each request that once did, and the bulk loads of ordinary clients. Members
// of each kind drawn from a seed stand in members.ts.

import type { Drill, Scenario } from './drill.ts';
import { range } from '../support/draw.ts';
import { bulk, longId, numbered } from './records.ts';

const MIB = 2 ** 20;

/** One call of so many MiB of documents of 8 KB. */
export const documentsCall =
  (mebibytes: number) =>
  async (drill: Drill): Promise<void> => {
    const documentLength = 8_000;
    const ids = numbered('d', Math.floor((mebibytes * MIB) / (documentLength + 120)));
    await bulk(drill, await drill.collection('documents'), { ids, documentLength });
  };

async function largeVectors(drill: Drill): Promise<void> {
  const target = await drill.collection('vectors');
  for (const call of range(5))
    await bulk(drill, target, { ids: numbered(`v${call}-`, 1_860), dimension: 1_536 });
}

/** A delete by a filter that a bare server answers with 500, in a collection where it would match. */
async function refusedFilter(drill: Drill): Promise<void> {
  const target = await drill.collection('filtered');
  const ids = numbered('f', 10);
  await bulk(drill, target, { operation: 'add', ids, metadatas: range(10).map((k) => ({ k })) });
  const body = { where: { $or: range(989).map((k) => ({ k })) } };
  await drill.write(target, body, { operation: 'delete', ids, expected: 'refused' });
}

/** A filter that ends the process of each server that is asked. */
async function deadlyFilter(drill: Drill): Promise<void> {
  const target = await drill.collection('deadly');
  const ids = ['a'];
  await bulk(drill, target, { operation: 'add', ids, documentLength: 20 });
  const where_document = { $or: range(12_000).map((n) => ({ $contains: `z${n}` })) };
  await drill.refusedRead(target, 'get', { where_document });
  await drill.write(target, { where_document }, { operation: 'delete', ids, expected: 'refused' });
}

async function largeSelection(drill: Drill): Promise<void> {
  const target = await drill.collection('selection');
  const ids = range(1_400).map((n) => longId(50_000, n));
  for (const part of range(4)) {
    const some = ids.slice(part * 350, (part + 1) * 350);
    await bulk(drill, target, { operation: 'add', ids: some, metadatas: some.map(() => ({ ws: 1 })) });
  }
  await drill.write(target, { where: { ws: 1 } }, { operation: 'delete', ids, expected: 'applied' });
}

/** The primary fails one collection and works otherwise. */
async function failingPrimary(drill: Drill): Promise<void> {
  const target = await drill.collection('failing');
  drill.breakIndex(await drill.cluster.primary(), target);
  // A server writes the index to disk after 1,000 records: the first call succeeds, the second does not.
  for (const call of range(4))
    await bulk(drill, target, { operation: 'add', ids: numbered(`e${call}-`, 600) });
}

async function noResults(drill: Drill): Promise<void> {
  const target = await drill.collection('nothing');
  await bulk(drill, target, { operation: 'add', ids: ['kept', 'a'] });
  await drill.write(target, { ids: ['kept'] }, { operation: 'delete', ids: ['kept'], expected: 'applied' });
  const body = { query_embeddings: [[1, 2, 3]], n_results: 0 };
  const isEmpty = (value: unknown): boolean => JSON.stringify((value as { ids?: unknown }).ids) === '[[]]';
  for (const _ of range(4)) await drill.rightRead(target, 'query', body, isEmpty);
}

async function longIds(drill: Drill): Promise<void> {
  const target = await drill.collection('long-ids');
  const ids = range(400).map((n) => longId(50_000, n));
  await bulk(drill, target, { ids });
  await drill.rightRead(
    target,
    'get',
    { ids, include: [] },
    (value) => (value as { ids: unknown[] }).ids.length === 400,
  );
  await drill.write(target, { ids }, { operation: 'delete', ids, expected: 'applied' });
}

interface Loaders {
  readonly loaders: number;
  readonly calls: number;
  readonly records: number;
  readonly documentLength: number;
}

/** Clients that each send one bulk call after the other. */
export const loadersOf =
  ({ loaders, calls, records, documentLength }: Loaders) =>
  async (drill: Drill): Promise<void> => {
    const target = await drill.collection('loaded');
    const load = async (loader: number): Promise<void> => {
      for (const call of range(calls)) {
        const ids = numbered(`l${loader}-${call}-`, records);
        await bulk(drill, target, { operation: 'add', ids, dimension: 32, documentLength });
      }
    };
    await Promise.all(range(loaders).map(load));
  };

async function manyKeys(drill: Drill): Promise<void> {
  const metadata = (n: number): object =>
    Object.fromEntries(range(64).map((key) => [`key_${key}`, key % 2 === 0 ? n : `value ${n}`]));
  const ids = numbered('m', 5_461);
  await bulk(drill, await drill.collection('keys'), { ids, metadatas: ids.map((_, n) => metadata(n)) });
}

/** Adds so many records in calls of 5,000 and deletes all of them in one call. */
export const deletionOf =
  (count: number) =>
  async (drill: Drill): Promise<void> => {
    const target = await drill.collection('deleted');
    const ids = numbered('r', count);
    for (let at = 0; at < count; at += 5_000)
      await bulk(drill, target, { operation: 'add', ids: ids.slice(at, at + 5_000) });
    await drill.write(target, { ids }, { operation: 'delete', ids, expected: 'applied' });
    const isGone = (value: unknown): boolean => (value as { ids: unknown[] }).ids.length === 0;
    await drill.rightRead(target, 'get', { limit: 1, include: [] }, isGone);
  };

export const SCENARIOS: readonly Scenario[] = [
  { name: 'A', about: 'an upsert of 20 MiB of documents', run: documentsCall(20) },
  { name: 'A-39', about: 'an upsert of 39 MiB of documents', run: documentsCall(39) },
  { name: 'A-vectors', about: 'five calls of 35 MiB of embeddings', run: largeVectors },
  { name: 'B', about: 'a delete by a filter that servers answer with 500', run: refusedFilter },
  { name: 'C', about: 'a filter that ends servers, in a read and in a delete', run: deadlyFilter },
  { name: 'D', about: 'a delete by filter that selects 67 MiB of ids', run: largeSelection },
  { name: 'E', about: 'a primary that answers 500 for one collection', run: failingPrimary },
  { name: 'F', about: 'a query for no results after a delete', run: noResults },
  { name: 'G', about: '400 ids of 50,000 characters with a common prefix', run: longIds },
  {
    name: 'H',
    about: 'eight loaders of 1,000 documents of 1 KB',
    run: loadersOf({ loaders: 8, calls: 3, records: 1_000, documentLength: 1_000 }),
  },
  {
    name: 'H-16',
    about: '16 loaders of documents of 1 MiB',
    run: loadersOf({ loaders: 16, calls: 2, records: 2, documentLength: MIB }),
  },
  { name: 'keys', about: '5,461 records with 64 metadata keys', run: manyKeys },
  { name: 'delete', about: 'a delete of 30,000 ids', run: deletionOf(30_000) },
];
