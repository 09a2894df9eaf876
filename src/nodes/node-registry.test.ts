import { expect, test } from 'vitest';
import { NodeRegistry } from './node-registry.ts';
import type { Node } from './node.ts';

const node = (id: string): { member: Node } => ({ member: { id } as Node });

test('lists nodes in the order in which they were added, and finds them by id', () => {
  const registry = new NodeRegistry();
  const [a, b] = [node('a'), node('b')];
  registry.add(b);
  registry.add(a);
  expect([registry.all(), registry.ids(), registry.get('a')]).toEqual([[b, a], ['b', 'a'], a]);
});

test('a list taken earlier does not change when a node is added, and the addition is notified', async () => {
  const registry = new NodeRegistry();
  registry.add(node('a'));
  const before = registry.all();
  const changed = registry.changed.wait(new AbortController().signal);
  registry.add(node('b'));
  await changed;
  expect([before.length, registry.all().length]).toEqual([1, 2]);
});

test('throws for an unknown id, and for an id that is taken', () => {
  const registry = new NodeRegistry();
  registry.add(node('a'));
  expect(() => registry.get('b')).toThrow('no node "b"');
  expect(() => registry.add(node('a'))).toThrow('two nodes "a"');
});

test('counts a node that is replaced until its replacement is there, and not one that is removed', () => {
  const registry = new NodeRegistry();
  for (const id of ['a', 'b', 'c']) registry.add({ member: { id, counts: id !== 'c' } as Node });
  registry.remove('a', true);
  registry.remove('b');
  registry.remove('c', true);
  expect([registry.ids(), registry.counted()]).toEqual([[], ['a']]);
  registry.add({ member: { id: 'a', counts: false } as Node });
  expect(registry.counted()).toEqual([]);
});

test('runs a task for each node, those added later included, until its node is removed', async () => {
  const registry = new NodeRegistry();
  registry.add(node('a'));
  const stop = new AbortController();
  const events: string[] = [];
  const all = registry.runForEach(async ({ member: { id } }, signal) => {
    events.push(`${id} begins`);
    await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
    events.push(`${id} ends`);
  }, stop.signal);
  await new Promise(setImmediate);
  registry.add(node('b'));
  await new Promise(setImmediate);
  registry.remove('a');
  await new Promise(setImmediate);
  expect(events).toEqual(['a begins', 'b begins', 'a ends']);
  stop.abort();
  await all;
  expect(events.at(-1)).toBe('b ends');
});

test('a task that fails ends the run with its error', async () => {
  const registry = new NodeRegistry();
  registry.add(node('a'));
  const failing = async (): Promise<void> => {
    throw new Error('broken');
  };
  await expect(registry.runForEach(failing, new AbortController().signal)).rejects.toThrow('broken');
});
