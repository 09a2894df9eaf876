import { beforeEach, expect, test } from 'vitest';
import { ManualClock } from '../../test/support/manual-clock.ts';
import type { RecordedNode } from '../coordination/cluster-snapshot.ts';
import type { Node } from './node.ts';
import { StateRecorder } from './state-recorder.ts';

let clock: ManualClock;
let node: { id: string; state: string; reason: null };
let recorded: string[];
let responding: Promise<void>;
let isHeld: boolean;
let states: StateRecorder;
beforeEach(() => {
  clock = new ManualClock();
  node = { id: 'a', state: 'serving', reason: null };
  [recorded, responding, isHeld] = [[], Promise.resolve(), true];
  states = new StateRecorder({
    store: {
      update: async (epoch, { id }, state) => {
        recorded.push(`${epoch} ${id} ${state}`);
        await responding;
      },
    },
    find: () => node as Node,
    clock,
    logger: { warn: () => undefined },
  });
  states.begin({ epoch: 5, clean: true, signal: new AbortController().signal, held: () => isHeld });
});

test('the state that is recorded last is the present one', async () => {
  const first = Promise.withResolvers<void>();
  responding = first.promise;
  states.record(node as Node);
  for (const state of ['down', 'catching_up']) {
    node.state = state;
    states.record(node as Node);
  }
  await clock.pass(50);
  expect(recorded).toEqual(['5 a serving']);
  responding = Promise.resolve();
  first.resolve();
  await clock.pass(50);
  expect(recorded).toEqual(['5 a serving', '5 a catching_up']);
});

test('a failed statement is repeated, until the term is over', async () => {
  responding = Promise.reject(new Error('gone'));
  states.record(node as Node);
  await clock.pass(500);
  expect(recorded.length).toBeGreaterThan(1);
  isHeld = false;
  await clock.pass(500);
  const { length } = recorded;
  await clock.pass(1_000);
  expect(recorded.length).toBe(length);
});

test('nothing more is recorded of a node that has begun again as another', async () => {
  responding = Promise.reject(new Error('the node has begun again'));
  const before = node;
  states.record(before as Node);
  await clock.pass(50);
  node = { ...before, state: 'joining' };
  await clock.pass(1_000);
  expect(recorded).toEqual(['5 a serving']);
});

test('what PostgreSQL has otherwise is recorded again', async () => {
  const row = { id: 'a', state: 'serving', stateEpoch: 5 } as RecordedNode;
  states.reconcile([row]);
  await clock.pass(50);
  expect(recorded).toEqual([]);
  states.reconcile([{ ...row, state: 'down' }]);
  await clock.pass(50);
  states.reconcile([{ ...row, stateEpoch: 4 }]);
  await clock.pass(50);
  expect(recorded).toEqual(['5 a serving', '5 a serving']);
});
