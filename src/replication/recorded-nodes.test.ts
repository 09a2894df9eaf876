import { beforeEach, describe, expect, test } from 'vitest';
import { ManualClock } from '../../test/support/manual-clock.ts';
import type { ClusterSnapshot, RecordedNode } from '../coordination/cluster-snapshot.ts';
import { Node } from '../nodes/node.ts';
import type { ProbeResult } from '../nodes/probe-result.ts';
import type { Follower } from './follower.ts';
import { RecordedNodes } from './recorded-nodes.ts';

let clock: ManualClock;
let found: ProbeResult;
let member: Node;
let recorded: RecordedNodes;
let resets: number;
let applied: number;
let renewal: number;
/** How often the identity of the node was read. */
let loads: number;
let stop: AbortController;
beforeEach(() => {
  clock = new ManualClock();
  found = { found: 'itself', checkpoint: 3, log: null };
  [resets, applied, renewal, loads] = [0, 0, 0, 0];
  const work = {
    explainsSilence: false,
    explainsSilenceSince: () => false,
    get isLong() {
      return recorded.isBusy('a');
    },
    isOverdueBy: () => false,
  };
  member = new Node({
    id: 'a',
    url: 'http://a',
    probe: {
      probe: async () => found,
      canary: async () => null,
      verify: async () => ({ contentLost: false, reason: 'the gateway that leads verifies it' }),
    },
    work,
    overdueMaxMs: 1_000,
    clock,
    onTransition: () => undefined,
    onProcessGone: () => undefined,
    onHealth: () => undefined,
  });
  const admission: { incarnation: string | null; load: () => Promise<void> } = {
    incarnation: null,
    load: async () => {
      loads += 1;
      admission.incarnation = 'i';
    },
  };
  const follower = { member, admission } as unknown as Follower;
  recorded = new RecordedNodes({
    find: () => follower,
    resetsOf: () => resets,
    onApplied: (_node, lsn) => (applied = lsn),
    cluster: 'c',
    logger: { warn: () => undefined },
  });
  stop = new AbortController();
  void member.watch(stop.signal);
});

/** Follows a snapshot with the node in this state, after the leader has renewed its lease so many times. */
async function follow(changes: Partial<RecordedNode> = {}, { renewals = 0, epoch = 1 } = {}): Promise<void> {
  for (let n = 0; n <= renewals; n++) {
    if (n > 0) renewal += 1;
    const node = {
      id: 'a',
      resets: 0,
      drained: false,
      counts: true,
      checkpoint: 7,
      markerLSN: 3,
      state: 'serving',
      reason: null,
      stateEpoch: 1,
      isBusy: false,
      ...changes,
    };
    recorded.follow({ epoch, renewal, nodes: [node] } as unknown as ClusterSnapshot);
    await clock.pass(600);
  }
}

test('a node serves once the leader says so after it has renewed its lease twice', async () => {
  await follow({}, { renewals: 1 });
  expect(member.state).toBe('joining');
  await follow({}, { renewals: 2 });
  expect([member.state, member.verified, applied, member.markerLSN]).toEqual(['serving', true, 7, 3]);
});

test('a node that this gateway does not reach does not serve', async () => {
  found = { found: 'silent', reason: 'no response' };
  await follow({}, { renewals: 5 });
  expect(member.state).toBe('joining');
});

test('a node serves once the leader has renewed its lease twice since this gateway reaches it', async () => {
  found = { found: 'silent', reason: 'no response' };
  member.connectionLost();
  await follow({}, { renewals: 5 });
  found = { found: 'itself', checkpoint: 3, log: null };
  await clock.pass(2_000);
  expect(member.isReached).toBe(true);
  // The first renewal may have been made before it was reached.
  renewal += 1;
  await follow({}, { renewals: 1 });
  expect(member.state).toBe('joining');
  await follow({}, { renewals: 1 });
  expect(member.state).toBe('serving');
});

test('silence over a connection that lives does not begin the count anew', async () => {
  await follow({}, { renewals: 1 });
  found = { found: 'silent', reason: 'no response' };
  await follow({}, { renewals: 1 });
  expect(member.state).toBe('joining');
  found = { found: 'itself', checkpoint: 3, log: null };
  await clock.pass(2_000);
  await follow();
  expect(member.state).toBe('serving');
});

test('the identity of a node that joins is read once', async () => {
  await follow({}, { renewals: 5 });
  expect(loads).toBe(1);
});

test('what an earlier leader has recorded does not count', async () => {
  await follow({}, { renewals: 5, epoch: 2 });
  expect(member.state).toBe('joining');
});

test('the checkpoint of another beginning of the node is not used', async () => {
  resets = 1;
  await follow({}, { renewals: 5 });
  expect([member.state, applied]).toEqual(['joining', 0]);
});

describe('a node that serves', () => {
  beforeEach(() => follow({}, { renewals: 3 }));

  test('is not used when the leader does not use it, and again once it does', async () => {
    await follow({ state: 'catching_up', reason: null });
    expect([member.state, member.verified]).toEqual(['down', false]);
    await follow({}, { renewals: 1 });
    expect(member.state).toBe('serving');
  });

  test('is not used after its connection has ended, until the leader has noticed, too', async () => {
    member.connectionLost();
    await follow({}, { renewals: 1 });
    expect(member.state).toBe('down');
    await follow({}, { renewals: 2 });
    expect(member.state).toBe('serving');
  });

  test('stays in use while the leadership changes', async () => {
    await follow({ state: 'down', stateEpoch: 1 }, { epoch: 2 });
    expect(member.state).toBe('serving');
  });

  test('is the last choice while it works on a long call of the leader', async () => {
    await follow({ isBusy: true });
    expect([member.state, recorded.isBusy('a')]).toEqual(['busy', true]);
    await follow();
    expect([member.state, recorded.isBusy('a')]).toEqual(['serving', false]);
  });

  test('begins again when the leader has found that it lost content', async () => {
    await follow({ state: 'needs_rebuild', reason: 'blank' });
    expect(member.state).toBe('needs_rebuild');
  });
});
