// Clients that race for names, and conditional deletes, with the primary killed meanwhile: one client wins, all nodes are
// identical, and they match the catalog.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ChromaHttp, type TextResponse } from '../support/chroma-http.ts';
import { TestCluster } from '../support/cluster.ts';
import { sql } from '../support/postgres-faults.ts';
import { until } from '../support/until.ts';

let cluster: TestCluster;
beforeAll(async () => {
  cluster = await TestCluster.start({ proxied: true });
});
afterAll(() => cluster.stop());

const TENANT = '/api/v2/tenants/default_tenant';
const collectionsOf = (database: string): string => `${TENANT}/databases/${database}/collections`;

interface CollectionObject {
  readonly id: string;
  readonly name: string;
  readonly metadata: Record<string, unknown> | null;
}

async function list(server: ChromaHttp, database = 'default_database'): Promise<CollectionObject[]> {
  const response = await server.call('GET', collectionsOf(database));
  expect(response.status).toBe(200);
  return (JSON.parse(response.text) as CollectionObject[]).sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** Every node holds exactly the collections that Polychrome lists, with the same names and metadata. */
async function nodesAgree(databases: readonly string[] = ['default_database']): Promise<void> {
  await cluster.allServe();
  const shown = ({ name, metadata }: CollectionObject): object => ({ name, metadata });
  for (const database of databases) {
    const listed = (await list(cluster.api, database)).map(shown);
    for (const { id } of cluster.local.nodes)
      expect({ id, listed: (await list(cluster.node(id), database)).map(shown) }).toEqual({ id, listed });
  }
  expect(new Set((await cluster.contents()).values()).size).toBe(1);
}

async function named(name: string): Promise<CollectionObject | undefined> {
  return (await list(cluster.api)).find((collection) => collection.name === name);
}

const create = (name: string, body: object = {}): Promise<TextResponse> =>
  cluster.api.call('POST', collectionsOf('default_database'), { name, ...body });
const rename = (id: string, name: string): Promise<TextResponse> =>
  cluster.api.call('PUT', `${collectionsOf('default_database')}/${id}`, { new_name: name });
const drop = (name: string): Promise<TextResponse> =>
  cluster.api.call('DELETE', `${collectionsOf('default_database')}/${name}`);

const count = (responses: readonly TextResponse[], status: number): number =>
  responses.filter((response) => response.status === status).length;

async function killPrimary(): Promise<void> {
  cluster.local.killNode(await cluster.primary());
}

describe.each([
  ['', async (): Promise<void> => undefined],
  [', with the primary killed meanwhile', killPrimary],
] as const)('racing%s', (when, disturb) => {
  const tag = when === '' ? 'calm' : 'killed';

  test('creates a collection for one of two clients that use the same name', async () => {
    for (let n = 0; n < 6; n++) {
      const name = `two-${tag}-${n}`;
      const both = [create(name, { metadata: { by: 1 } }), create(name, { metadata: { by: 2 } })];
      if (n === 2) await disturb();
      const responses = await Promise.all(both);
      expect([count(responses, 200), count(responses, 409)]).toEqual([1, 1]);
      const winner = JSON.parse(responses.find(({ status }) => status === 200)!.text) as CollectionObject;
      expect(await named(name)).toMatchObject({ id: winner.id, metadata: winner.metadata });
    }
    await nodesAgree();
  });

  test('gives twenty clients the same collection with get_or_create', async () => {
    const name = `twenty-${tag}`;
    const all = Array.from({ length: 20 }, (_, by) =>
      create(name, { get_or_create: true, metadata: { by } }),
    );
    await disturb();
    const responses = await Promise.all(all);
    expect(count(responses, 200)).toBe(20);
    const objects = responses.map(({ text }) => JSON.parse(text) as CollectionObject);
    expect(new Set(objects.map(({ id }) => id)).size).toBe(1);
    expect(new Set(objects.map(({ metadata }) => JSON.stringify(metadata))).size).toBe(1);
    // Each client can write to the collection.
    const written = await Promise.all(
      objects.map(({ id }, n) => cluster.api.records(id, 'add', { ids: [`r${n}`], embeddings: [[n]] })),
    );
    expect(count(written, 201)).toBe(20);
    await nodesAgree();
  });

  test('keeps records in their collection through chains of renames under writes', async () => {
    const letters = ['a', 'b', 'c'];
    const ids: string[] = [];
    for (const letter of letters) ids.push(await cluster.api.create(`chain-${tag}-${letter}`));
    let stop = false;
    const written = new Map(letters.map((letter) => [letter, [] as string[]]));
    const strange: string[] = [];
    const writer = async (letter: string, id: string): Promise<void> => {
      for (let n = 0; !stop; n++) {
        const record = `${letter}${n}`;
        const body = { ids: [record], embeddings: [[n]], documents: [letter] };
        const response = await cluster.api.records(id, 'add', body);
        if (response.status === 201) written.get(letter)!.push(record);
        else strange.push(`${response.status} ${response.text}`);
      }
    };
    const writers = letters.map((letter, index) => writer(letter, ids[index]!));
    const [first, second, third] = ids as [string, string, string];
    let order = [first, second, third];
    for (let turn = 0; turn < 3; turn++) {
      // In a circle: each name becomes free with the previous rename.
      const renames = [
        [order[0]!, 'aside'],
        [order[1]!, 'a'],
        [order[2]!, 'b'],
        [order[0]!, 'c'],
      ] as const;
      for (const [id, name] of renames) expect((await rename(id, `chain-${tag}-${name}`)).status).toBe(200);
      order = [...order.slice(1), order[0]!];
      if (turn === 0) await disturb();
    }
    // Two collections are renamed to one name: one succeeds.
    const responses = await Promise.all([rename(first, `chain-${tag}-x`), rename(second, `chain-${tag}-x`)]);
    stop = true;
    await Promise.all(writers);
    expect(strange).toEqual([]);
    expect(responses.filter(({ status }) => status === 200)).toHaveLength(1);
    await nodesAgree();
    for (const [index, letter] of letters.entries()) {
      const { text } = await cluster.api.records(ids[index]!, 'get', { include: [] });
      expect((JSON.parse(text) as { ids: string[] }).ids).toEqual(written.get(letter));
      expect(written.get(letter)!.length).toBeGreaterThan(3);
    }
  });

  test('keeps old records out of a collection that is deleted and created again under writes', async () => {
    const name = `again-${tag}`;
    let current = await cluster.api.create(name);
    let stop = false;
    const strange: string[] = [];
    const writer = async (writerId: number): Promise<void> => {
      for (let n = 0; !stop; n++) {
        const id = current;
        const body = { ids: [`${writerId}-${n}`], embeddings: [[1]], documents: [id] };
        const response = await cluster.api.records(id, 'add', body);
        if (response.status !== 201 && response.status !== 404)
          strange.push(`${response.status} ${response.text}`);
      }
    };
    const writers = [1, 2, 3, 4].map(writer);
    for (let turn = 0; turn < 5; turn++) {
      if (turn === 2) await disturb();
      expect((await drop(name)).status).toBe(200);
      current = await cluster.api.create(name, { metadata: { turn } });
    }
    stop = true;
    await Promise.all(writers);
    expect(strange).toEqual([]);
    await nodesAgree();
    const { text } = await cluster.api.records(current, 'get', { include: ['documents'] });
    const { documents } = JSON.parse(text) as { documents: string[] };
    expect(documents.every((document) => document === current)).toBe(true);
  });

  test('removes a database with all collections from every node when it is deleted under writes', async () => {
    const database = `gone-${tag}`;
    const { api } = cluster;
    expect((await api.call('POST', `${TENANT}/databases`, { name: database })).status).toBe(200);
    const ids: string[] = [];
    for (let n = 0; n < 4; n++) {
      const response = await api.call('POST', collectionsOf(database), { name: `collection-${n}` });
      ids.push((JSON.parse(response.text) as CollectionObject).id);
    }
    let stop = false;
    const strange: string[] = [];
    const expected = new Set([200, 201, 400, 404]);
    const writer = async (collection: string): Promise<void> => {
      for (let n = 0; !stop; n++) {
        const path = `${collectionsOf(database)}/${collection}/add`;
        const response = await api.call('POST', path, { ids: [`r${n}`], embeddings: [[1]] });
        if (!expected.has(response.status)) strange.push(`${response.status} ${response.text}`);
      }
    };
    const maker = async (): Promise<void> => {
      for (let n = 0; !stop; n++) {
        const response = await api.call('POST', collectionsOf(database), { name: `made-${n}` });
        if (!expected.has(response.status)) strange.push(`${response.status} ${response.text}`);
        if (response.status === 400) return;
      }
    };
    const load = [...ids.map(writer), maker()];
    await disturb();
    const deleted = await api.call('DELETE', `${TENANT}/databases/${database}`);
    expect([deleted.status, deleted.text]).toEqual([200, '{}']);
    stop = true;
    await Promise.all(load);
    expect(strange).toEqual([]);
    await cluster.allServe();
    for (const { id } of cluster.local.nodes) {
      const response = await cluster.node(id).call('GET', `${TENANT}/databases/${database}`);
      expect({ id, status: response.status }).toEqual({ id, status: 404 });
    }
    expect((await api.call('POST', `${TENANT}/databases`, { name: database })).status).toBe(200);
    expect(await list(api, database)).toEqual([]);
    await nodesAgree(['default_database', database]);
  });

  test('deletes the same records on every node by filter, with one decision', async () => {
    const id = await cluster.api.create(`filter-${tag}`);
    const put = async (n: number, kind: string): Promise<void> => {
      const body = { ids: [`r${n}`], embeddings: [[n, 1]], metadatas: [{ kind, n }] };
      expect((await cluster.api.records(id, 'upsert', body)).status).toBe(200);
    };
    for (let n = 0; n < 30; n++) await put(n, n % 2 === 0 ? 'even' : 'odd');
    // Records match and stop matching while the filter runs: the primary decides once.
    const moving = Array.from({ length: 30 }, (_, n) => put(n, n % 3 === 0 ? 'even' : 'odd'));
    const deletes = [0, 1, 2].map((k) =>
      cluster.api.records(id, 'delete', { where: { $and: [{ kind: 'even' }, { n: { $gte: k * 10 } }] } }),
    );
    await disturb();
    expect(count(await Promise.all(deletes), 200)).toBe(3);
    await Promise.all(moving);
    await nodesAgree();
    const undecided = await sql(
      cluster,
      `select l.lsn from polychrome.log l left join polychrome.decision d using (lsn)
       where l.kind = 'delete_where' and d.lsn is null`,
    );
    expect(undecided).toEqual([]);
  });
});

test('deletes the decided records when the primary is killed after its decision', async () => {
  const id = await cluster.api.create('decided');
  const ids = Array.from({ length: 40 }, (_, n) => `r${n}`);
  const metadatas = ids.map((_, n) => ({ kind: n < 20 ? 'doomed' : 'kept' }));
  await cluster.api.records(id, 'add', { ids, embeddings: ids.map((_, n) => [n]), metadatas });
  await cluster.allServe();
  const primary = await cluster.primary();
  const proxy = cluster.proxy(primary);
  let swallowed = 0;
  proxy.onRequest = (chunk) => {
    if (!chunk.includes('/delete HTTP')) return;
    swallowed += 1;
    void proxy.set('silent');
  };
  const decisions = (): Promise<{ lsn: string; body: string }[]> =>
    sql(
      cluster,
      `select d.lsn::text, convert_from(d.body, 'UTF8') as body from polychrome.decision d
         join polychrome.log l using (lsn) join polychrome.shard x on x.id = l.target
       where l.kind = 'delete_where' and x.collection = $1`,
      [id],
    );
  const response = cluster.api.records(id, 'delete', { where: { kind: 'doomed' } });
  await until(async () => swallowed > 0, 'the primary has received its first delete');
  const before = await decisions();
  expect(before).toHaveLength(1);
  expect((JSON.parse(before[0]!.body) as string[]).sort()).toEqual(ids.slice(0, 20).sort());
  cluster.local.killNode(primary);
  expect((await response).status).toBe(200);
  expect(await cluster.primary()).not.toBe(primary);

  proxy.onRequest = null;
  await proxy.set('pass');
  await nodesAgree();
  expect(await decisions()).toEqual(before);
  const { text } = await cluster.api.records(id, 'get', { include: [] });
  expect((JSON.parse(text) as { ids: string[] }).ids).toEqual(ids.slice(20));
});
