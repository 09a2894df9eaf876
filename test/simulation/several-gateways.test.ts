// Several gateways on the clock of the simulation: how long what is outdated may be served, and how long writes wait.

import { describe, expect, test } from 'vitest';
import type { NodeShardRow } from '../support/fake-postgres/tables.ts';
import { recordsBody } from './world/client.ts';
import type { ClientResponse, SimulatedGateway } from './world/gateway.ts';
import { COLLECTIONS_PATH, contentIn, recordsPath, replaceOn } from './world/node-content.ts';
import { World } from './world/world.ts';

/** Of every simulated gateway. */
const LEASE_MS = 2_000;
/** What a gateway knew before counts no longer. */
const LONG_MS = 2.5 * LEASE_MS;
// Nodes are probed twice a second; the marker is written within moments of what it announces.
const ANNOUNCED_MS = 1_000;
// A gateway that waits for nothing polls four times a second.
const POLLED_MS = 300;
const NODES = ['a', 'b', 'c'];
const WRONG = 9_999;

let world: World;
let collection: string;

const nowMs = (): number => world.schedule.nowMs;
const pass = (ms: number): Promise<void> => world.schedule.run(nowMs() + ms);

/** Runs until the condition holds. */
async function until(condition: () => boolean, what: string): Promise<void> {
  await world.schedule.run(nowMs() + 60_000, condition);
  if (!condition()) throw new Error(`not reached: ${what}`);
}

/** Sends a request; returns a function for its response, null before it came. */
function send(
  name: string,
  path: string,
  body: string,
  headers: Readonly<Record<string, string>> = {},
): () => ClientResponse | null {
  const gateway = world.gateways.get(name)!;
  let response: ClientResponse | null = null;
  gateway.process.receive(0, () => {
    void gateway.handle({ method: 'POST', path, headers, body }).then((each) => (response = each));
  });
  return () => response;
}

async function responseOf(sent: () => ClientResponse | null): Promise<ClientResponse> {
  await until(() => sent() !== null, 'a response');
  return sent()!;
}

/** Repeats a request until it succeeds. */
async function succeeds(request: () => () => ClientResponse | null): Promise<ClientResponse> {
  for (;;) {
    const response = await responseOf(request());
    if (response.status < 300) return response;
    await pass(10);
  }
}

/** Every node has applied it when it is acknowledged. */
function sendWrite(gateway: string, value: number, level: 'primary' | 'all' = 'all') {
  const step = { op: 'upsert', name: 'apples', ids: ['a'], value, level, poison: null } as const;
  return send(gateway, recordsPath(collection, 'upsert'), recordsBody(step), { 'x-polychrome-ack': level });
}

const write = (gateway: string, value: number): Promise<ClientResponse> =>
  succeeds(() => sendWrite(gateway, value));

/** Without a level, as the clients of Chroma. */
function read(gateway: string, level?: string, lsn?: string): Promise<ClientResponse> {
  const headers: Record<string, string> = {
    ...(level === undefined ? {} : { 'x-polychrome-consistency': level }),
    ...(lsn === undefined ? {} : { 'x-polychrome-lsn': lsn }),
  };
  const body = JSON.stringify({ include: ['documents', 'metadatas', 'embeddings'] });
  return responseOf(send(gateway, recordsPath(collection, 'get'), body, headers));
}

const valueIn = ({ body }: ClientResponse): number => contentIn(body).get('a')!;

/** A cluster of these gateways whose collection holds one record. */
async function started(...gateways: string[]): Promise<void> {
  world = new World({ seed: 5, nodes: NODES, gateways, clients: [], pollMs: 0, steps: [] });
  for (const name of gateways) world.startGateway(name);
  await until(() => gateways.every((name) => world.gateways.get(name)!.isRunning), 'every gateway runs');
  const create = JSON.stringify({ name: 'apples' });
  const { body } = await succeeds(() => send(gateways[0]!, COLLECTIONS_PATH, create));
  collection = (JSON.parse(body) as { id: string }).id;
  await write(gateways[0]!, 1);
  const members = gateways.flatMap((name) => world.gateways.get(name)!.replication!.nodes.all());
  await until(() => members.every(({ member }) => member.state === 'serving'), 'every node serves');
}

/** Two gateways: the one that leads, and the name of the other. */
async function leadingOfTwo(): Promise<[SimulatedGateway, string]> {
  await started('first', 'second');
  await until(() => world.leading() !== null, 'a gateway leads');
  const leader = world.leading()!;
  return [leader, leader.process.name === 'first' ? 'second' : 'first'];
}

function setLink(gateway: string, other: string, how: 'cut' | 'heal'): void {
  world.network[how](gateway, other);
  world.network[how](other, gateway);
}

describe('R17: the only gateway that is cut off from PostgreSQL', () => {
  test('serves reads until another one leads, and stops within a second', async () => {
    await started('first');
    setLink('first', 'postgres', 'cut');
    await pass(LONG_MS);
    expect(valueIn(await read('first'))).toBe(1);
    world.startGateway('second');
    await until(() => world.gateways.get('second')!.isRunning, 'the second gateway runs');
    await write('second', 2);
    const acknowledgedMs = nowMs();
    while ((await read('first')).status === 200) {
      expect(nowMs() - acknowledgedMs).toBeLessThan(ANNOUNCED_MS);
      await pass(10);
    }
    expect(await read('first')).toMatchObject({ status: 503 });
    expect(await read('first', 'session')).toMatchObject({ status: 503 });
    expect(await read('first', 'eventual')).toMatchObject({ status: 200 });
    setLink('first', 'postgres', 'heal');
    await until(() => world.gateways.get('first')!.replication!.knowledge.isCurrent, 'it knows the state');
    expect(valueIn(await read('first'))).toBe(2);
    expect(world.violation).toBeNull();
  });

  test('goes on with reads while no other one leads', async () => {
    await started('first');
    setLink('first', 'postgres', 'cut');
    for (let passedMs = 0; passedMs < 60_000; passedMs += LONG_MS) {
      await pass(LONG_MS);
      expect(valueIn(await read('first'))).toBe(1);
    }
  });
});

test.each([
  ['is cut off from PostgreSQL', ANNOUNCED_MS],
  ['follows', POLLED_MS],
])('a gateway that %s reads nothing from a copy %i ms after it became suspect', async (how, boundMs) => {
  const [{ process, replication }, other] = await leadingOfTwo();
  if (how !== 'follows') setLink(other, 'postgres', 'cut');
  await pass(LONG_MS);
  const shard = world.shardNamed('apples')!;
  const copy = (): NodeShardRow => world.postgres.server.tables.currentCopy('b', shard)!;
  const { physical } = copy();
  process.receive(
    0,
    () => void replication!.suspects.add('b', shard, 'simulated', replication!.leader.term!),
  );
  await until(() => copy().suspect !== null, 'the suspicion is durable');
  const durableMs = nowMs();
  replaceOn(world.node('b').chroma, physical, 'a', WRONG);
  let reads = 0;
  for (; nowMs() < durableMs + LONG_MS; reads++) {
    const response = await read(other, 'eventual');
    expect(response.status).toBe(200);
    if (valueIn(response) === WRONG) expect(nowMs() - durableMs).toBeLessThan(boundMs);
    await pass(10);
  }
  expect(reads).toBeGreaterThan(100);
  setLink(other, 'postgres', 'heal');
  const { member } = world.gateways.get(other)!.replication!.nodes.get('b');
  await until(() => member.state === 'serving', `${other} reads from the node again`);
});

describe('a client that echoes the LSN sees nothing older while a write is in flight on one node', () => {
  /** The write is executed at once, and its response is lost again and again. Returns how many reads saw it meanwhile. */
  async function readsInFlight(leader: string, reader: string): Promise<number> {
    const primary = world.postgres.server.tables.head.primary_node!;
    world.node(primary).plan(['drop_after', 'drop_after', 'drop_after']);
    const written = sendWrite(leader, 2, 'primary');
    let [lsn, newest, seen] = ['0', 1, 0];
    while (written() === null) {
      const response = await read(reader, 'session', lsn);
      if (valueIn(response) === 2 && written() === null) seen += 1;
      expect([response.status, valueIn(response) >= newest]).toEqual([200, true]);
      newest = valueIn(response);
      lsn = response.headers['x-polychrome-lsn']!;
      await pass(1);
    }
    expect([valueIn(await read(reader, 'session', lsn)), world.violation]).toEqual([2, null]);
    return seen;
  }

  test('through the only gateway', async () => {
    await started('first');
    // Once it was seen, the next read waits until it is applied.
    expect(await readsInFlight('first', 'first')).toBe(1);
  });

  test('through another gateway than the one that leads', async () => {
    const [{ process }, other] = await leadingOfTwo();
    expect(await readsInFlight(process.name, other)).toBe(0);
  });
});

test('when the leader is killed, the other gateway goes on with reads, and writes wait for a lease and a second', async () => {
  const [{ process }, survivor] = await leadingOfTwo();
  world.killGateway(process.name);
  const killedMs = nowMs();
  const written = sendWrite(survivor, 2);
  while (written() === null) {
    expect(await read(survivor)).toMatchObject({ status: 200 });
    await pass(10);
  }
  expect(written()).toMatchObject({ status: 200 });
  expect(nowMs() - killedMs).toBeLessThan(LEASE_MS + 1_000);
  expect(valueIn(await read(survivor))).toBe(2);
});

test('a write that waits at a deposed leader has its outcome within two seconds of its successor recording it', async () => {
  const [{ process }, successor] = await leadingOfTwo();
  const written = sendWrite(process.name, 2, 'primary');
  const before = world.postgres.server.tables.head.lsn;
  await until(() => world.postgres.server.tables.head.lsn > before, 'the write is in the log');
  process.freeze(3 * LEASE_MS);
  await until(() => world.leading()?.process.name === successor, 'the other gateway leads');
  expect(written()).toBeNull();
  const isRecorded = (): boolean => {
    const { head, nodes } = world.postgres.server.tables;
    return (nodes.get(head.primary_node ?? '')?.checkpoint ?? 0) >= head.lsn;
  };
  await until(isRecorded, 'the successor records that the primary has applied it');
  const knowableMs = Math.max(nowMs(), process.frozenUntilMs);
  expect(await responseOf(written)).toMatchObject({ status: 200 });
  expect(nowMs() - knowableMs).toBeLessThan(2_000);
});
