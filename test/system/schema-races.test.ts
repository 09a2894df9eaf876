// Clients that race over names, and deletes that depend on what is there, with the primary killed in the middle: one
// winner, the same on every node, and what the catalog says is what the nodes hold.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ChromaHttp, type HttpAnswer } from '../support/chroma-http.ts';
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
  const answer = await server.call('GET', collectionsOf(database));
  expect(answer.status).toBe(200);
  return (JSON.parse(answer.text) as CollectionObject[]).sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** Every node holds the collections that Polychrome lists, under the same names with the same metadata, and no other. */
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

const create = (name: string, body: object = {}): Promise<HttpAnswer> =>
  cluster.api.call('POST', collectionsOf('default_database'), { name, ...body });
const rename = (id: string, name: string): Promise<HttpAnswer> =>
  cluster.api.call('PUT', `${collectionsOf('default_database')}/${id}`, { new_name: name });
const drop = (name: string): Promise<HttpAnswer> =>
  cluster.api.call('DELETE', `${collectionsOf('default_database')}/${name}`);

const count = (answers: readonly HttpAnswer[], status: number): number =>
  answers.filter((answer) => answer.status === status).length;

async function killPrimary(): Promise<void> {
  cluster.local.killNode(await cluster.primary());
}

describe.each([
  ['', async (): Promise<void> => undefined],
  [', with the primary killed in the middle', killPrimary],
] as const)('racing%s', (when, disturb) => {
  const tag = when === '' ? 'calm' : 'killed';

  test('two clients that create one name: one gets it', async () => {
    for (let n = 0; n < 6; n++) {
      const name = `two-${tag}-${n}`;
      const both = [create(name, { metadata: { by: 1 } }), create(name, { metadata: { by: 2 } })];
      if (n === 2) await disturb();
      const answers = await Promise.all(both);
      expect([count(answers, 200), count(answers, 409)]).toEqual([1, 1]);
      const winner = JSON.parse(answers.find(({ status }) => status === 200)!.text) as CollectionObject;
      expect(await named(name)).toMatchObject({ id: winner.id, metadata: winner.metadata });
    }
    await nodesAgree();
  });

  test('get_or_create by twenty: one collection, which all of them get', async () => {
    const name = `twenty-${tag}`;
    const all = Array.from({ length: 20 }, (_, by) =>
      create(name, { get_or_create: true, metadata: { by } }),
    );
    await disturb();
    const answers = await Promise.all(all);
    expect(count(answers, 200)).toBe(20);
    const objects = answers.map(({ text }) => JSON.parse(text) as CollectionObject);
    expect(new Set(objects.map(({ id }) => id)).size).toBe(1);
    expect(new Set(objects.map(({ metadata }) => JSON.stringify(metadata))).size).toBe(1);
    // Each can write to what it got.
    const written = await Promise.all(
      objects.map(({ id }, n) => cluster.api.records(id, 'add', { ids: [`r${n}`], embeddings: [[n]] })),
    );
    expect(count(written, 201)).toBe(20);
    await nodesAgree();
  });

  test('chains of renames under writes: records stay with their collection', async () => {
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
        const answer = await cluster.api.records(id, 'add', body);
        if (answer.status === 201) written.get(letter)!.push(record);
        else strange.push(`${answer.status} ${answer.text}`);
      }
    };
    const writers = letters.map((letter, index) => writer(letter, ids[index]!));
    const [first, second, third] = ids as [string, string, string];
    let order = [first, second, third];
    for (let turn = 0; turn < 3; turn++) {
      // Round and round: each name is free only since the rename before it.
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
    // Two that want one name: one gets it.
    const answers = await Promise.all([rename(first, `chain-${tag}-x`), rename(second, `chain-${tag}-x`)]);
    stop = true;
    await Promise.all(writers);
    expect(strange).toEqual([]);
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);
    await nodesAgree();
    for (const [index, letter] of letters.entries()) {
      const { text } = await cluster.api.records(ids[index]!, 'get', { include: [] });
      expect((JSON.parse(text) as { ids: string[] }).ids).toEqual(written.get(letter));
      expect(written.get(letter)!.length).toBeGreaterThan(3);
    }
  });

  test('a name deleted and made again, under writes to it: nothing of the old is in the new', async () => {
    const name = `again-${tag}`;
    let current = await cluster.api.create(name);
    let stop = false;
    const strange: string[] = [];
    const writer = async (writerId: number): Promise<void> => {
      for (let n = 0; !stop; n++) {
        const id = current;
        const body = { ids: [`${writerId}-${n}`], embeddings: [[1]], documents: [id] };
        const answer = await cluster.api.records(id, 'add', body);
        if (answer.status !== 201 && answer.status !== 404) strange.push(`${answer.status} ${answer.text}`);
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

  test('a database deleted under writes and creates in it: all of it is gone, on every node', async () => {
    const database = `gone-${tag}`;
    const { api } = cluster;
    expect((await api.call('POST', `${TENANT}/databases`, { name: database })).status).toBe(200);
    const ids: string[] = [];
    for (let n = 0; n < 4; n++) {
      const answer = await api.call('POST', collectionsOf(database), { name: `collection-${n}` });
      ids.push((JSON.parse(answer.text) as CollectionObject).id);
    }
    let stop = false;
    const strange: string[] = [];
    const expected = new Set([200, 201, 400, 404]);
    const writer = async (collection: string): Promise<void> => {
      for (let n = 0; !stop; n++) {
        const path = `${collectionsOf(database)}/${collection}/add`;
        const answer = await api.call('POST', path, { ids: [`r${n}`], embeddings: [[1]] });
        if (!expected.has(answer.status)) strange.push(`${answer.status} ${answer.text}`);
      }
    };
    const maker = async (): Promise<void> => {
      for (let n = 0; !stop; n++) {
        const answer = await api.call('POST', collectionsOf(database), { name: `made-${n}` });
        if (!expected.has(answer.status)) strange.push(`${answer.status} ${answer.text}`);
        if (answer.status === 400) return;
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
      const answer = await cluster.node(id).call('GET', `${TENANT}/databases/${database}`);
      expect({ id, status: answer.status }).toEqual({ id, status: 404 });
    }
    expect((await api.call('POST', `${TENANT}/databases`, { name: database })).status).toBe(200);
    expect(await list(api, database)).toEqual([]);
    await nodesAgree(['default_database', database]);
  });

  test('a delete by filter spares the same records everywhere, and is decided once', async () => {
    const id = await cluster.api.create(`filter-${tag}`);
    const put = async (n: number, kind: string): Promise<void> => {
      const body = { ids: [`r${n}`], embeddings: [[n, 1]], metadatas: [{ kind, n }] };
      expect((await cluster.api.records(id, 'upsert', body)).status).toBe(200);
    };
    for (let n = 0; n < 30; n++) await put(n, n % 2 === 0 ? 'even' : 'odd');
    // While the filter runs, records move in and out of it: what it meets is for the primary to say, once.
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

test('a primary killed between its decision and the deletes: the next one deletes what was decided', async () => {
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
  const answer = cluster.api.records(id, 'delete', { where: { kind: 'doomed' } });
  await until(async () => swallowed > 0, 'the primary is sent its first delete');
  const before = await decisions();
  expect(before).toHaveLength(1);
  expect((JSON.parse(before[0]!.body) as string[]).sort()).toEqual(ids.slice(0, 20).sort());
  cluster.local.killNode(primary);
  expect((await answer).status).toBe(200);
  expect(await cluster.primary()).not.toBe(primary);

  proxy.onRequest = null;
  await proxy.set('pass');
  await nodesAgree();
  expect(await decisions()).toEqual(before);
  const { text } = await cluster.api.records(id, 'get', { include: [] });
  expect((JSON.parse(text) as { ids: string[] }).ids).toEqual(ids.slice(20));
});
