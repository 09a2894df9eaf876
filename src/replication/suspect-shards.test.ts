import { beforeEach, expect, test } from 'vitest';
import type { AssignedShard } from './checkpoints.ts';
import { suspected, SuspectShards } from './suspect-shards.ts';

let steps: string[];
let record: () => Promise<string>;
let suspects: SuspectShards;
let known: { physical: string; suspect: string | null } | null;

const copyOf = (physical: string): AssignedShard => ({
  physical,
  tenant: 't',
  database: 'd',
  name: 'n',
  fromLSN: 0,
  copy: 0,
  suspect: null,
});

beforeEach(() => {
  steps = [];
  record = async () => 'p1';
  known = null;
  suspects = new SuspectShards({
    forget: () => void steps.push('forget'),
    exclude: () => void steps.push('exclude'),
    record: (epoch, node, shard, reason) => {
      steps.push(`record ${epoch} ${node} ${shard} ${reason}`);
      return record();
    },
    notifyApplier: (_node, _shard, { physical }) => void steps.push(`notify applier of ${physical}`),
    recorded: async () => new Map([['shard', copyOf('p1')]]),
    known: () => known,
    announce: () => void steps.push('announce'),
    refreshCatalog: async () => void steps.push('refresh catalog'),
    events: { record: (kind) => void steps.push(`event ${kind}`) },
    logger: { error: () => undefined },
  });
});

test('excludes the copy first, and notifies its applier only once the suspicion is durable', async () => {
  let recorded = (_physical: string): void => undefined;
  record = () => new Promise((resolve) => (recorded = resolve));
  const added = suspects.add('a', 'shard', 'differs', { epoch: 3 });
  const before = ['event shard_suspect', 'forget', 'exclude', 'record 3 a shard differs'];
  expect(steps).toEqual(before);
  recorded('p1');
  await added;
  expect(steps).toEqual([...before, 'notify applier of p1', 'refresh catalog', 'announce', 'forget']);
});

test('keeps the copy excluded, and its applier unaware, when the suspicion cannot be recorded', async () => {
  record = () => Promise.reject(new Error('the lease has moved on'));
  await expect(suspects.add('a', 'shard', 'differs', { epoch: 3 })).rejects.toThrow('the lease has moved on');
  expect(steps).toEqual(['event shard_suspect', 'forget', 'exclude', 'record 3 a shard differs']);
});

test.each([
  ['is recorded again', { physical: 'p1', suspect: 'differs' }, 'differs'],
  ['of a copy that was replaced is not', { physical: 'p0', suspect: 'differs' }, null],
])(
  'a suspicion that PostgreSQL lacks %s before the node follows the log',
  async (_what, remembered, reason) => {
    known = remembered;
    expect((await suspects.assigned('a', { epoch: 3 })).get('shard')).toEqual({
      ...copyOf('p1'),
      suspect: reason,
    });
    expect(steps.includes('record 3 a shard differs')).toBe(reason !== null);
  },
);

test('a suspicion that becomes known late does not concern the copy that replaced the suspect one', () => {
  const suspicion = { physical: 'p1', reason: 'differs' };
  expect(suspected(copyOf('p1'), suspicion)).toEqual({ ...copyOf('p1'), suspect: 'differs' });
  expect(suspected(copyOf('p2'), suspicion)).toEqual(copyOf('p2'));
});
