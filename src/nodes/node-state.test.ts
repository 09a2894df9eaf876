import { describe, expect, test } from 'vitest';
import {
  canServe,
  choosePrimary,
  follows,
  NODE_EVENTS,
  NODE_STATES,
  nextState,
  type NodeState,
} from './node-state.ts';

describe('the states of a node', () => {
  test('no node serves without having caught up', () => {
    for (const state of NODE_STATES) {
      for (const event of NODE_EVENTS) {
        if (nextState(state, event) !== 'serving' || state === 'serving') continue;
        expect([
          ['catching_up', 'caught_up'],
          ['busy', 'free'],
        ]).toContainEqual([state, event]);
      }
    }
  });

  test('only a serving node becomes busy', () => {
    for (const state of NODE_STATES) {
      for (const event of NODE_EVENTS) {
        if (nextState(state, event) !== 'busy' || state === 'busy') continue;
        expect([state, event]).toEqual(['serving', 'occupied']);
      }
    }
  });

  test('a drained node follows without serving, and serves only after it was taken back and caught up', () => {
    expect([follows('drained'), canServe('drained')]).toEqual([true, false]);
    expect(nextState('serving', 'drained')).toBe('drained');
    expect(nextState('drained', 'caught_up')).toBe('drained');
    expect(nextState('drained', 'undrained')).toBe('catching_up');
    expect(nextState('drained', 'failed')).toBe('down');
  });

  test('a busy node follows and serves reads, and is down when it fails', () => {
    expect([follows('busy'), canServe('busy')]).toEqual([true, true]);
    expect(nextState('busy', 'responds')).toBe('busy');
    expect(nextState('busy', 'failed')).toBe('down');
  });

  test('a wrong identity fences a node in any state', () => {
    for (const state of NODE_STATES) expect(follows(nextState(state, 'wrong_identity'))).toBe(false);
  });

  test('a node that lost content follows no more in any later state', () => {
    for (const event of NODE_EVENTS) {
      const next = nextState('needs_rebuild', event);
      expect(next === 'needs_rebuild' || next === 'fenced').toBe(true);
    }
  });

  test('a node that failed catches up before it serves', () => {
    expect(nextState('serving', 'failed')).toBe('down');
    expect(nextState('down', 'caught_up')).toBe('down');
    expect(nextState('down', 'responds')).toBe('catching_up');
  });
});

describe('the choice of the primary', () => {
  const node = (id: string, state: NodeState, checkpoint: number, priority = 0) => ({
    id,
    state,
    checkpoint,
    priority,
  });

  test.each([
    [
      'the present one stays while it works',
      [node('a', 'catching_up', 1), node('b', 'serving', 9)],
      'a',
      'a',
    ],
    ['the present one stays while it is busy', [node('a', 'busy', 1), node('b', 'serving', 9)], 'a', 'a'],
    [
      'a busy one goes before one that catches up',
      [node('a', 'down', 9), node('b', 'catching_up', 9), node('c', 'busy', 7)],
      'a',
      'c',
    ],
    [
      'the one with the least left to do follows',
      [node('a', 'down', 9), node('b', 'serving', 5), node('c', 'serving', 7)],
      'a',
      'c',
    ],
    [
      'one that serves goes before one that catches up',
      [node('a', 'down', 9), node('b', 'catching_up', 9), node('c', 'serving', 7)],
      'a',
      'c',
    ],
    [
      'one that catches up is better than none',
      [node('a', 'down', 9), node('b', 'catching_up', 2)],
      'a',
      'b',
    ],
    [
      'no primary is chosen when no node works',
      [node('a', 'down', 9), node('b', 'fenced', 9), node('c', 'needs_rebuild', 9)],
      'a',
      null,
    ],
    [
      'of those that serve the preferred one is, even if it has applied less',
      [node('a', 'down', 9), node('b', 'serving', 9), node('c', 'serving', 7, 50)],
      'a',
      'c',
    ],
    [
      'a preferred one does not take the role from one that works',
      [node('a', 'serving', 9), node('b', 'serving', 9, 100)],
      'a',
      'a',
    ],
    [
      'a preferred one that does not serve gives way to one that does',
      [node('a', 'down', 9), node('b', 'catching_up', 9, 100), node('c', 'serving', 7)],
      'a',
      'c',
    ],
    [
      'a drained one gives the role away',
      [node('a', 'drained', 9), node('b', 'catching_up', 9), node('c', 'serving', 7)],
      'a',
      'c',
    ],
    [
      'a drained one keeps the role while no other serves',
      [node('a', 'drained', 9), node('b', 'catching_up', 9)],
      'a',
      'a',
    ],
    [
      'at the first start the first one named is',
      [node('a', 'serving', 0), node('b', 'serving', 0)],
      null,
      'a',
    ],
  ] as const)('%s', (_name, nodes, present, chosen) => {
    expect(choosePrimary(nodes, present)).toBe(chosen);
  });
});
