// Servers that come back as another, or with older content.

import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createCollectionRequest } from '../../src/chroma/protocol/node-requests.ts';
import { installMarker } from '../../src/nodes/marker.ts';
import { FakeNode } from '../support/fake-chroma/node.ts';
import { FakeChroma, type Disk } from '../support/fake-chroma/server.ts';
import { seededRandom } from '../support/seeded-random.ts';
import { following, replication, upsert } from './scenario.ts';

afterEach(() => replication.stop());

describe('a server that comes back', () => {
  let older: Disk;

  beforeEach(async () => {
    await following('a');
    replication.write('upsert', upsert('x', 1));
    await replication.caughtUp();
    const { fake, member } = replication.replica('a');
    older = fake.server.disk();
    const last = replication.write('upsert', upsert('y', 2));
    await replication.until(() => member.markerLSN === last, 'the marker is written');
    fake.kill();
    await replication.until(() => member.state === 'down', 'the node is known to be down');
    replication.write('upsert', upsert('z', 3));
  });

  const servers: Readonly<Record<string, { state: string; server: () => Promise<FakeChroma> }>> = {
    'with older content': {
      state: 'needs_rebuild',
      async server() {
        const { server } = replication.replica('a').fake;
        server.restore(older);
        return server;
      },
    },
    'without a marker, but with data': {
      state: 'needs_rebuild',
      async server() {
        const { clock } = replication;
        const other = new FakeNode({ clock, server: new FakeChroma(seededRandom(9)) });
        const place = { tenant: 'default_tenant', database: 'default_database' };
        await other.client().mutate(createCollectionRequest(place, Buffer.from('{"name":"foreign"}')));
        return other.server;
      },
    },
    'as another node': {
      state: 'fenced',
      async server() {
        const { clock } = replication;
        const other = new FakeNode({ clock, server: new FakeChroma(seededRandom(8)) });
        const identity = { cluster: 'cluster', node: 'b', incarnation: 'first' };
        await installMarker(other.client(), { ...identity, progress: null, copies: 0 });
        return other.server;
      },
    },
  };
  test.each(Object.entries(servers))('%s receives nothing', async (_, { state, server }) => {
    const { fake, member } = replication.replica('a');
    const writes = (): number => fake.executed.filter(({ mutates }) => mutates).length;
    const before = writes();
    fake.start(await server());
    await replication.clock.pass(3_000, 100);
    expect([member.state, writes()]).toEqual([state, before]);
  });

  test('blank is filled from the log under another incarnation; its old disk is fenced after that', async () => {
    const { fake } = replication.replica('a');
    const { incarnation } = replication.storage.node('a');
    const old = fake.server;
    fake.start(new FakeChroma(seededRandom(9)));
    const isBack = (): boolean => replication.replica('a').member.state === 'serving';
    await replication.until(() => isBack() && replication.storage.nodes.has('a'), 'the node serves');
    await replication.caughtUp();
    expect(replication.content('a')).toContain('"ids":["x","y","z"]');
    expect(replication.storage.node('a').incarnation).not.toBe(incarnation);

    fake.kill();
    await replication.until(() => replication.replica('a').member.state === 'down', 'the node is down');
    fake.start(old);
    await replication.until(() => replication.replica('a').member.state === 'fenced', 'the node is fenced');
  });

  test('as itself, with all it had, goes on', async () => {
    replication.replica('a').fake.start();
    await replication.caughtUp();
    expect(replication.content('a')).toContain('"ids":["x","y","z"]');
  });
});
