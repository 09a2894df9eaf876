// A copy that differs is rebuilt without a person: under writes, and when a node or the gateway is killed in any phase.

import { rm } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { nodeCommand } from '../../src/cli/node.ts';
import { systemClock } from '../../src/util/clock.ts';
import { TestCluster } from '../support/cluster.ts';
import { pointsOfThisRun, REBUILD_POINTS } from '../support/crash-points.ts';
import { TestCommand } from '../support/operation-context.ts';
import { sql } from '../support/postgres-faults.ts';
import { until } from '../support/until.ts';

const RECORDS = 600;
const DIMENSION = 16;

const POINTS = pointsOfThisRun(REBUILD_POINTS);

/** Ends the grace period of every retired copy. */
const AGED = `update polychrome.node_shard set since = since - interval '1 hour' where state = 'retired'`;

let cluster: TestCluster;
let collection: string;

beforeAll(async () => {
  cluster = await TestCluster.start({
    ownProcess: { NODE_ENV: 'test' },
    settings: { LEASE_MS: '2000' },
  });
  collection = await cluster.api.create('records', { metadata: { 'hnsw:space': 'l2', kept: 1.0 } });
  await write(
    'upsert',
    Array.from({ length: RECORDS }, (_, n) => n),
    0,
  );
});
afterAll(() => cluster.stop());

/** Values of every type, doubles that Chroma's parser rounds among them. */
const record = (n: number, version: number): string =>
  `{"n":${n},"version":${version}.0,"third":${(n + 1) / 3 + version / 7},"big":9007199254740993,"text":"t${n}","yes":${n % 2 === 0}}`;
const vector = (n: number, version: number): string =>
  JSON.stringify(Array.from({ length: DIMENSION }, (_, k) => Math.sin(n * 31 + k * 7 + version)));

async function write(kind: string, numbers: readonly number[], version: number): Promise<void> {
  const column = (of: (n: number) => string): string => `[${numbers.map(of).join(',')}]`;
  const body =
    `{"ids":${column((n) => `"r${n}"`)},"embeddings":${column((n) => vector(n, version))},` +
    `"documents":${column((n) => `"document ${n} of ${version}"`)},"metadatas":${column((n) => record(n, version))}}`;
  const { status, text } = await cluster.api.records(collection, kind, body);
  if (status >= 300) throw new Error(`${status} ${text}`);
}

interface CopyRow {
  readonly physical: string;
  readonly copy: number;
  readonly suspect: string | null;
}

/** Undefined while the node begins again. */
async function copyOn(node: string): Promise<CopyRow | undefined> {
  const [row] = await sql<CopyRow & Record<string, unknown>>(
    cluster,
    `select n.physical, n.copy::int, n.suspect from polychrome.node_shard n
     join polychrome.shard x on x.id = n.shard
     where n.state = 'current' and n.node = $1 and x.collection = $2`,
    [node, collection],
  );
  return row;
}

/** Edits, deletes and adds records directly on a node, and makes its copy suspect, as a comparison of copies does. */
async function damage(node: string): Promise<void> {
  const { physical } = (await copyOn(node))!;
  const edit = async (action: string, body: object): Promise<void> => {
    expect((await cluster.node(node).records(physical, action, body)).status).toBeLessThan(300);
  };
  await edit('delete', { ids: ['r3', 'r700'] });
  await edit('update', { ids: ['r5'], documents: ['edited'], metadatas: [{ stray: 1 }] });
  const embeddings = [Array.from({ length: DIMENSION }, () => 0.5)];
  await edit('add', { ids: ['stray'], embeddings, documents: ['unknown document'] });
  await sql(
    cluster,
    `update polychrome.node_shard set suspect = 'differs', view = polychrome.next_view() where physical = $1`,
    [physical],
  );
}

/** The node comes back without its content; the log counts as trimmed, so that it is filled by copies. */
async function blank(node: string): Promise<void> {
  await sql(cluster, 'update polychrome.head set trimmed = 1');
  await cluster.local.stopNode(node);
  await rm(cluster.local.nodes.find(({ id }) => id === node)!.dataDir, { recursive: true });
  await cluster.local.startNode(node);
}

let probes = 0;
/** A change of the catalog makes the gateway read it anew. */
async function noticed(): Promise<void> {
  await cluster.api.create(`probe-${probes++}`);
}

async function healed(node: string, limitMs = 60_000): Promise<CopyRow> {
  await until(async () => (await copyOn(node))?.suspect === null, `the copy on ${node} is healed`, limitMs);
  return (await copyOn(node))!;
}

async function allEqual(): Promise<string> {
  await cluster.allServe();
  // A node that was filled anew has every collection copied.
  const suspects = `select 1 from polychrome.node_shard where state = 'current' and suspect is not null`;
  await until(async () => (await sql(cluster, suspects)).length === 0, 'every copy is healed', 60_000);
  const [first, ...others] = [...(await cluster.contents()).values()].map((content) => content.split('\n'));
  // A whole content would be printed.
  const differences = others.flatMap((lines) =>
    lines.flatMap((line, index) => (line === first![index] ? [] : [[first![index], line]])),
  );
  expect(differences.slice(0, 3)).toEqual([]);
  return first!.join('\n');
}

/** Replica ids, and the primary. */
async function roles(): Promise<{ primary: string; replicas: string[] }> {
  const { nodes } = await cluster.status();
  const ids = (role: string): string[] => nodes.filter((node) => node.role === role).map(({ id }) => id);
  return { primary: ids('primary')[0]!, replicas: ids('replica') };
}

test.each(['replica', 'primary'])('a damaged copy on the %s is healed under writes', async (role) => {
  const { primary, replicas } = await roles();
  const node = role === 'primary' ? primary : replicas[0]!;
  const before = (await copyOn(node))!;
  let version = 1;
  let isDone = false;
  const writing = (async (): Promise<void> => {
    for (; !isDone; version++) {
      const numbers = Array.from({ length: 10 }, (_, k) => (version * 37 + k * 11) % (RECORDS + 100));
      if (version % 5 === 0) {
        const ids = numbers.slice(0, 4).map((n) => `r${n}`);
        expect((await cluster.api.records(collection, 'delete', { ids })).status).toBe(200);
      } else await write(version % 3 === 0 ? 'add' : 'upsert', [...new Set(numbers)], version);
    }
  })();
  await damage(node);
  await noticed();
  const after = await healed(node);
  isDone = true;
  await writing;
  expect(after.physical).not.toBe(before.physical);
  expect(after.copy).toBeGreaterThan(before.copy);
  const content = await allEqual();
  expect(content).not.toContain('stray');
});

test('an operator has the copies of a node built anew', async () => {
  const node = (await roles()).replicas[0]!;
  const before = (await copyOn(node))!;
  const command = new TestCommand({ clock: systemClock });
  const words = ['rebuild', node, '--collection', 'records', '--url', cluster.url];
  await nodeCommand(command).parseAsync(words, { from: 'user' });
  expect(command.output).toBe(`1 collection of node ${node} was copied anew and compared.\n`);
  expect((await copyOn(node))!.copy).toBeGreaterThan(before.copy);
  await allEqual();
});

test.each(['target', 'donor'])('a copy is healed although its %s is killed meanwhile', async (which) => {
  await cluster.stopGateway();
  await cluster.startGateway({ REBUILD_BYTES_PER_SECOND: '80000' });
  await cluster.allServe();
  const { replicas } = await roles();
  const [target, donor] = replicas as [string, string];
  await damage(target);
  await noticed();
  await until(async () => {
    const { current } = (await cluster.status()).rebuilds;
    return current?.phase === 'copying' && current.done > 0;
  }, 'records are being copied');
  const killed = which === 'target' ? target : donor;
  cluster.local.killNode(killed);
  await cluster.local.startNode(killed);
  await healed(target);
  await allEqual();
});

describe('a copy is healed when the gateway is killed at', () => {
  test.each(POINTS.map((point, index) => [point, POINTS[index + 1] ?? point] as const))(
    '%s',
    async (point, next) => {
      // The gateway that recovers from the death at one point dies at the next.
      if (point === POINTS[0]) {
        await cluster.stopGateway('SIGKILL');
        await cluster.startGateway({ CRASH_AT: point });
      }
      await cluster.allServe();
      const node = (await roles()).replicas[0]!;
      const { process } = cluster;
      const died = new Promise((resolve) => process.once('exit', (_code, signal) => resolve(signal)));
      if (point.startsWith('drop_')) {
        await damage(node);
        await noticed();
        await healed(node);
        process.kill('SIGUSR2');
        await sql(cluster, AGED);
      } else {
        process.kill('SIGUSR2');
        if (point.startsWith('fill_')) await blank(node);
        else await damage(node);
        await noticed().catch(() => undefined);
      }
      expect(await died).toBe('SIGKILL');
      await cluster.startGateway({ CRASH_AT: next });
      await cluster.allServe(60_000);
      await healed(node);
      await allEqual();
    },
  );
});

test('old copies and what interrupted rebuilds left are dropped', async () => {
  await sql(cluster, AGED);
  await until(async () => {
    const left = await sql(cluster, `select 1 from polychrome.node_shard where state <> 'current'`);
    return left.length === 0;
  }, 'nothing is left aside');
  const listed = await Promise.all(
    cluster.local.nodes.map(
      async ({ id }) => JSON.parse((await cluster.node(id).collections()).text) as unknown[],
    ),
  );
  // A create that the death of its gateway cut off may not have happened.
  const known = JSON.parse((await cluster.api.collections()).text) as unknown[];
  expect(listed.map(({ length }) => length)).toEqual(listed.map(() => known.length));
  await allEqual();
});
