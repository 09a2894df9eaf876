import { beforeEach, expect, test } from 'vitest';
import { SuspectShards } from './suspect-shards.ts';

let steps: string[];
let record: () => Promise<void>;
let suspects: SuspectShards;

beforeEach(() => {
  steps = [];
  record = async () => undefined;
  suspects = new SuspectShards({
    forget: () => void steps.push('forget'),
    exclude: () => void steps.push('exclude'),
    record: (epoch, node, shard, reason) => {
      steps.push(`record ${epoch} ${node} ${shard} ${reason}`);
      return record();
    },
    notifyApplier: () => void steps.push('notify applier'),
    announce: () => void steps.push('announce'),
    refreshCatalog: async () => void steps.push('refresh catalog'),
    events: { record: (kind) => void steps.push(`event ${kind}`) },
    logger: { error: () => undefined },
  });
});

test('excludes the copy first, and notifies its applier only once the suspicion is durable', async () => {
  let recorded = (): void => undefined;
  record = () => new Promise((resolve) => (recorded = resolve));
  const added = suspects.add('a', 'shard', 'differs', { epoch: 3 });
  const before = ['event shard_suspect', 'forget', 'exclude', 'record 3 a shard differs'];
  expect(steps).toEqual(before);
  recorded();
  await added;
  expect(steps).toEqual([...before, 'notify applier', 'refresh catalog', 'announce', 'forget']);
});

test('keeps the copy excluded, and its applier unaware, when the suspicion cannot be recorded', async () => {
  record = () => Promise.reject(new Error('the lease has moved on'));
  await expect(suspects.add('a', 'shard', 'differs', { epoch: 3 })).rejects.toThrow('the lease has moved on');
  expect(steps).toEqual(['event shard_suspect', 'forget', 'exclude', 'record 3 a shard differs']);
});
