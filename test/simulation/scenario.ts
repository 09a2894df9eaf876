// What the scenarios of the simulation share: a cluster that holds the one collection, and faults for its calls.

import type { FakeCall, FakeNode, Fault } from '../support/fake-chroma/node.ts';
import { MemoryReplication, SHARD, type MemoryReplicationOptions } from '../support/memory-replication.ts';
import { seededRandom } from '../support/seeded-random.ts';

/** The cluster of the running test; `following` and `starting` set it. */
export let replication: MemoryReplication;

/** A cluster of these nodes that serves, and has applied the creation of the collection. */
export async function following(...nodes: string[]): Promise<void> {
  await serving(nodes);
  replication.create();
  await replication.caughtUp();
}

/** A cluster of these nodes that serves, with an empty log. */
export async function serving(
  nodes: readonly string[],
  options: Partial<MemoryReplicationOptions> = {},
): Promise<void> {
  replication = new MemoryReplication({ nodes, random: seededRandom(7), ...options });
  await replication.start();
}

/** Whether a call writes records of a client, not of the canary. */
export const isWrite = ({ path }: Pick<FakeCall, 'path'>): boolean =>
  /\/(add|upsert|update)$/.test(path) && !isReserved({ path });

/** Whether a call is the canary's, the marker's or a second opinion's. */
export const isReserved = ({ path }: Pick<FakeCall, 'path'>): boolean => path.includes('/tenants/polychrome');

/** Matches the reads by which a primary selects the records of a filtered delete. */
export const isSelection = ({ path, mutates, body }: FakeCall): boolean =>
  !mutates && path.endsWith('/get') && body.includes('where_document');

/** Matches writes whose body contains `text`, second opinions included. */
export const writing =
  (text: string) =>
  ({ path, body }: FakeCall): boolean =>
    /\/(add|upsert|update)$/.test(path) && body.includes(text);

export const upsert = (id: string, value: number): string =>
  `{"ids":["${id}"],"embeddings":[[${value}]],"documents":["${value}"]}`;

/** Two records that filters tell apart. */
export const BOTH = '{"ids":["x","y"],"embeddings":[[1],[2]],"documents":["red","green"]}';
export const RED = '{"where_document":{"$contains":"red"}}';
export const GREEN = '{"where_document":{"$contains":"green"}}';

/** Without effect, and never given to a call that passed the checks: the server is at fault. */
export const REFUSAL: Fault = {
  response: { status: 400, text: '{"error":"InvalidArgumentError","message":"Validation error: no"}' },
  executed: false,
};
/** A response that may come after an effect. */
const INTERNAL = { status: 500, text: '{"error":"InternalError","message":"no"}' };
export const FAILURE: Fault = { response: INTERNAL, executed: false };
export const FAILURE_WITH_EFFECT: Fault = { response: INTERNAL, executed: true };

/** The writes a node has executed, by their documents. */
export const executed = (id: string): string[] =>
  replication
    .replica(id)
    .fake.executed.filter(isWrite)
    .map(({ body }) => /"documents":\["(.*?)"/.exec(body)![1]!);

export const suspicion = (id: string): string | null => replication.replica(id).assigned.get(SHARD)!.suspect;
export const isSuspect = (id: string): boolean => suspicion(id) !== null;

/** Collections of second opinions that a server still has. */
export function scratchOn(fake: FakeNode): string[] {
  const { text } = fake.look('GET', '/api/v2/tenants/polychrome/databases/polychrome/collections');
  const names = (JSON.parse(text) as { name: string }[]).map(({ name }) => name);
  return names.filter((name) => name !== 'canary' && name !== 'marker');
}
