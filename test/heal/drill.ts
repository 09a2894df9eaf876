// What the drills of healing share: records of a collection under a seed, suspects, and the comparison of all nodes.

import type { TestCluster } from '../support/cluster.ts';
import { sql } from '../support/postgres-faults.ts';
import { until } from '../support/until.ts';

export interface HealDrill {
  readonly name: string;
  readonly about: string;
  /** Broken promises; [] when all were kept. */
  readonly run: (options: HealOptions) => Promise<readonly string[]>;
}

export interface HealOptions {
  readonly seed: number;
  /** Seconds instead of minutes: fewer rounds. */
  readonly isShort: boolean;
  readonly log: (line: string) => void;
}

/** Stops the cluster whatever becomes of the work. */
export async function withCluster<T>(
  starting: Promise<TestCluster>,
  work: (cluster: TestCluster) => Promise<T>,
): Promise<T> {
  const cluster = await starting;
  try {
    return await work(cluster);
  } finally {
    await cluster.stop();
  }
}

/** Adds `count` records of a unit; throws when they are refused. */
export async function fill(cluster: TestCluster, name: string, count: number): Promise<string> {
  const id = await cluster.api.create(name, { configuration: { hnsw: { space: 'l2' } } });
  await put(cluster, id, { from: 0, count, text: 'document' });
  return id;
}

/** Upserts records `from` to `from + count`. */
export async function put(
  cluster: TestCluster,
  id: string,
  { from, count, text }: { readonly from: number; readonly count: number; readonly text: string },
): Promise<void> {
  const numbers = Array.from({ length: count }, (_, n) => from + n);
  const { status, text: response } = await cluster.api.records(id, 'upsert', {
    ids: numbers.map((n) => `r${n}`),
    embeddings: numbers.map((n) => [n, 1, (n % 7) + 0.25, 0.5]),
    documents: numbers.map((n) => `${text} ${n}`),
    metadatas: numbers.map((n) => ({ n })),
  });
  if (status >= 300) throw new Error(`upsert: ${status} ${response}`);
}

/** Copies that became suspect so far, as `node collection: reason`. */
export async function suspectEvents(cluster: TestCluster): Promise<string[]> {
  const rows = await sql<{ node: string; name: string; reason: string }>(
    cluster,
    `select e.node, c.name, e.detail->>'reason' as reason from polychrome.event e
       join polychrome.shard s on s.id::text = e.detail->>'shard' join polychrome.collection c on c.id = s.collection
       where e.kind = 'shard_suspect' order by e.id`,
  );
  return rows.map(({ node, name, reason }) => `${node} ${name}: ${reason}`);
}

/** Resolves when no copy is suspect; then, how the nodes differ. */
export async function differences(cluster: TestCluster, limitMs = 120_000): Promise<string[]> {
  await cluster.allServe(limitMs);
  const suspects = `select 1 from polychrome.node_shard where state = 'current' and suspect is not null`;
  await until(async () => (await sql(cluster, suspects)).length === 0, 'every copy is healed', limitMs);
  await cluster.allServe(limitMs);
  const [[first, expected] = ['', ''], ...others] = [...(await cluster.contents())];
  return others.flatMap(([id, content]) => {
    if (content === expected) return [];
    const [a, b] = [expected.split('\n'), content.split('\n')];
    const at = a.findIndex((line, index) => line !== b[index]);
    return [`${id} differs from ${first}: ${a[at] ?? '(end)'} | ${b[at < 0 ? a.length : at] ?? '(end)'}`];
  });
}

/** Ends the grace period of every retired copy. */
export async function age(cluster: TestCluster): Promise<void> {
  await sql(
    cluster,
    `update polychrome.node_shard set since = since - interval '1 hour' where state = 'retired'`,
  );
}

/** Makes the copy of a collection on a node suspect, as a comparison of copies does. */
export async function suspect(cluster: TestCluster, node: string, collection: string): Promise<void> {
  await sql(
    cluster,
    `update polychrome.node_shard n set suspect = 'a drill', view = polychrome.next_view()
     from polychrome.shard x where x.id = n.shard and n.state = 'current' and n.node = $1 and x.collection = $2`,
    [node, collection],
  );
  // A change of the catalog makes the gateway read it anew; one that freezes at the next step responds much later.
  void cluster.api.create(`noticed-${Date.now()}`).catch(() => undefined);
}

/** Records of a node under its own ids. */
export async function onNode(
  cluster: TestCluster,
  node: string,
  collection: string,
): Promise<(action: string, body: object) => Promise<void>> {
  const [row] = await sql<{ physical: string }>(
    cluster,
    `select n.physical from polychrome.node_shard n join polychrome.shard x on x.id = n.shard
     where n.state = 'current' and n.node = $1 and x.collection = $2`,
    [node, collection],
  );
  return async (action, body) => {
    const { status, text } = await cluster.node(node).records(row!.physical, action, body);
    if (status >= 300) throw new Error(`${action} on ${node}: ${status} ${text}`);
  };
}

export async function replicaOf(cluster: TestCluster): Promise<string> {
  const { nodes } = await cluster.status();
  return nodes.find(({ role }) => role === 'replica')!.id;
}
