// Servers that come back as another, or with older content.

import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createCollectionRequest } from '../../src/chroma/protocol/node-requests.ts';
import { newMarker } from '../../src/chroma/client/identity.ts';
import { installMarker } from '../../src/nodes/marker.ts';
import { FakeNode } from '../support/fake-chroma/node.ts';
import { FakeChroma, type Disk } from '../support/fake-chroma/server.ts';
import { seededRandom } from '../support/seeded-random.ts';
import { COLLECTIONS, SHARD } from '../support/memory-replication.ts';
import { following, isSuspect, replication, upsert } from './scenario.ts';

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
        await installMarker(other.client(), newMarker(identity));
        return other.server;
      },
    },
  };
  test.each(Object.entries(servers))('%s receives nothing while it cannot be filled', async (_, which) => {
    // The log no longer holds everything, and there is no other node.
    replication.storage.trimmed = 1;
    const { fake, member } = replication.replica('a');
    const writes = (): number => fake.executed.filter(({ mutates }) => mutates).length;
    const before = writes();
    fake.start(await which.server());
    await replication.clock.pass(5_000, 100);
    expect([member.state, writes()]).toEqual([which.state, before]);
  });

  test('with data and without a marker receives nothing, also while the log holds everything', async () => {
    const { fake, member } = replication.replica('a');
    fake.start(await servers['without a marker, but with data']!.server());
    await replication.clock.pass(5_000, 100);
    expect(member.state).toBe('needs_rebuild');
    expect(member.reason).toContain('holds content, and no marker of this node');
    expect(fake.look('GET', COLLECTIONS).text).toContain('foreign');
  });

  test('with older content is filled from the log', async () => {
    const { fake } = replication.replica('a');
    fake.start(await servers['with older content']!.server());
    await replication.caughtUp();
    expect(replication.content('a')).toContain('"ids":["x","y","z"]');
  });

  test('blank is filled from the log under another incarnation, and so is its old disk after that', async () => {
    const { fake } = replication.replica('a');
    const { incarnation } = replication.storage.node('a');
    const old = fake.server;
    const isFilled = (): boolean => {
      const node = replication.storage.nodes.get('a');
      return node?.checkpoint === replication.storage.entries.length && node.incarnation !== incarnation;
    };
    fake.start(new FakeChroma(seededRandom(9)));
    await replication.until(
      () => isFilled() && replication.replica('a').member.state === 'serving',
      'the node serves',
    );
    expect(replication.content('a')).toContain('"ids":["x","y","z"]');

    fake.kill();
    await replication.until(() => replication.replica('a').member.state === 'down', 'the node is down');
    const second = replication.storage.node('a').incarnation;
    fake.start(old);
    await replication.until(
      () => replication.storage.nodes.get('a')?.incarnation !== second && isFilled(),
      'the node is filled again',
    );
    expect(replication.content('a')).toContain('"ids":["x","y","z"]');
  });

  test('as itself, with all it had, goes on', async () => {
    replication.replica('a').fake.start();
    await replication.caughtUp();
    expect(replication.content('a')).toContain('"ids":["x","y","z"]');
  });
});

describe('a server that lost its content, beside others, when the log no longer holds everything', () => {
  const contents = (): Set<string> => new Set(replication.replicas.map(({ id }) => replication.content(id)));
  const serves = (): boolean =>
    replication.storage.nodes.has('b') &&
    replication.replica('b').member.state === 'serving' &&
    !isSuspect('b');
  let older: Disk;

  beforeEach(async () => {
    await following('a', 'b', 'c');
    for (let n = 0; n < 50; n++) replication.write('upsert', upsert(`r${n}`, n));
    await replication.caughtUp();
    older = replication.replica('b').fake.server.disk();
    const last = replication.write('upsert', upsert('y', 2));
    await replication.until(
      () => replication.replica('b').member.markerLSN === last,
      'the marker is written',
    );
    replication.replica('b').fake.kill();
    await replication.until(() => replication.replica('b').member.state === 'down', 'the node is down');
    replication.write('upsert', upsert('z', 3));
    await replication.caughtUp('a', 'c');
    replication.storage.trimmed = 10;
  });

  const server = (which: string): FakeChroma => {
    const same = replication.replica('b').fake.server;
    if (which === 'blank') return new FakeChroma(seededRandom(9));
    same.restore(older);
    return same;
  };

  test.each(['blank', 'older'])('is filled by copies while the log goes on (%s)', async (which) => {
    replication.replica('b').fake.start(server(which));
    let n = 0;
    await replication.until(
      () => {
        if (n < 100) replication.write('upsert', upsert(`w${n++ % 7}`, n));
        return serves();
      },
      'the node serves',
      { stepMs: 50 },
    );
    await replication.caughtUp();
    expect(contents().size).toBe(1);
    expect(replication.replica('b').checkpoint).toBeGreaterThan(50);
  });

  test('keeps older content of which no other node has a healthy copy', async () => {
    for (const id of ['a', 'c']) await replication.suspect(id);
    const { fake, member } = replication.replica('b');
    fake.start(server('older'));
    await replication.clock.pass(30_000, 500);
    expect(member.state).toBe('needs_rebuild');
    expect(member.reason).toContain('it may have the only copy of a collection');
    expect(fake.look('GET', COLLECTIONS).text).toContain('pears');
  });

  test.each(['before its old content is removed', 'after it'])(
    'is filled although the term ends %s',
    async (when) => {
      const { fake } = replication.replica('b');
      const isRemoval = ({ method, path }: { method: string; path: string }): boolean =>
        method === 'DELETE' && path.endsWith(when.startsWith('before') ? '/pears' : '/marker');
      fake.plan(isRemoval, 'hang');
      fake.start(server('older'));
      await replication.until(() => fake.hanging > 0, 'content is being removed');
      replication.storage.endTerm();
      await replication.clock.pass(2_000, 50);
      fake.release();
      await replication.until(serves, 'it serves', { stepMs: 50 });
      await replication.caughtUp();
      expect(contents().size).toBe(1);
    },
  );
});

test('a blank server is filled from the primary when there is no other node', async () => {
  await following('a', 'b');
  for (let n = 0; n < 50; n++) replication.write('upsert', upsert(`r${n}`, n));
  await replication.caughtUp();
  replication.storage.trimmed = 10;
  replication.replica('b').fake.kill();
  await replication.until(() => replication.replica('b').member.state === 'down', 'the node is down');
  replication.replica('b').fake.start(new FakeChroma(seededRandom(9)));
  let n = 0;
  await replication.until(
    () => {
      if (n < 100) replication.write('upsert', upsert(`w${n++ % 7}`, n));
      const isKnown = replication.storage.nodes.get('b')?.assigned.has(SHARD) === true;
      return isKnown && !isSuspect('b') && replication.replica('b').member.state === 'serving';
    },
    'the node serves',
    { stepMs: 50 },
  );
  await replication.caughtUp();
  expect(replication.content('b')).toBe(replication.content('a'));
});
