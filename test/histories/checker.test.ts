import { describe, expect, test } from 'vitest';
import { faultsOf } from './checker.ts';
import type { Effect, Observed } from './history.ts';

type Options = Partial<Omit<Observed, 'effect' | 'invokedAt' | 'returnedAt'>>;

/** An operation from one moment to another; without an end it got no response. */
function operation(
  [invokedAt, returnedAt]: readonly [number, number | null],
  effect: Effect,
  options: Options = {},
): Observed {
  const outcome = returnedAt === null ? 'indeterminate' : 'ok';
  const shared = { client: 'c', gateway: 'g', record: 'r', guarantee: 'strong', echoes: false } as const;
  return { ...shared, effect, invokedAt, returnedAt, outcome, ...options };
}

const set = (value: number): Effect => ({ does: 'set', value });
const read = (saw: number | null): Effect => ({ does: 'read', saw });
const REMOVE: Effect = { does: 'delete' };
const session = { guarantee: 'session' } as const;

describe('a history that can be right', () => {
  test.each<[string, readonly Observed[]]>([
    ['a read of the last write', [operation([0, 1], set(1)), operation([2, 3], read(1))]],
    [
      'a read beside a write sees either',
      [
        operation([0, 1], set(1)),
        operation([2, 9], set(2)),
        operation([3, 4], read(1)),
        operation([5, 6], read(2)),
      ],
    ],
    [
      'an indeterminate write that takes effect late',
      [
        operation([0, 1], set(1)),
        operation([2, null], set(2)),
        operation([3, 4], read(1)),
        operation([5, 6], read(2)),
      ],
    ],
    ['an indeterminate write without effect', [operation([0, null], set(1)), operation([1, 2], read(null))]],
    [
      'an add of a record that exists',
      [operation([0, 1], set(1)), operation([2, 3], { does: 'add', value: 2 }), operation([4, 5], read(1))],
    ],
    [
      'an update of a record that does not exist',
      [operation([0, 1], { does: 'update', value: 2 }), operation([2, 3], read(null))],
    ],
    [
      'a conditional delete of another value',
      [
        operation([0, 1], set(1)),
        operation([2, 3], { does: 'delete_if', matches: (value) => value === 2 }),
        operation([4, 5], read(1)),
      ],
    ],
    [
      'a conditional delete of an indeterminate write that no read saw',
      [
        operation([0, 1], set(1)),
        operation([2, null], set(2)),
        operation([3, 4], { does: 'delete_if', matches: (value) => value === 2 }),
        operation([5, 6], read(null)),
      ],
    ],
    [
      'a session read through a gateway that did not acknowledge the write',
      [
        operation([0, 1], set(1)),
        operation([2, 3], read(null), { ...session, gateway: 'other', client: 'd' }),
      ],
    ],
  ])('%s', (_what, history) => {
    expect(faultsOf(history)).toEqual([]);
  });
});

describe('a bad history is refused', () => {
  test.each<[string, RegExp, readonly Observed[]]>([
    ['a lost write', /no order/, [operation([0, 1], set(1)), operation([2, 3], read(null))]],
    [
      'a stale strong read',
      /no order/,
      [
        operation([0, 1], set(1)),
        operation([2, 3], set(2)),
        operation([4, 5], read(1), { client: 'd', gateway: 'h' }),
      ],
    ],
    [
      'two reads that see two writes in opposite orders',
      /no order/,
      [
        operation([0, 9], set(1)),
        operation([0, 9], set(2)),
        operation([10, 11], read(1)),
        operation([12, 13], read(2)),
      ],
    ],
    [
      'an indeterminate write that takes effect twice',
      /no order/,
      [
        operation([0, null], set(1)),
        operation([1, 2], read(1)),
        operation([3, 4], set(2)),
        operation([5, 6], read(1)),
      ],
    ],
    [
      'a deleted record that is back',
      /no order/,
      [operation([0, 1], set(1)), operation([2, 3], REMOVE), operation([4, 5], read(1))],
    ],
    [
      'a refused write that is seen',
      /was refused/,
      [operation([0, 1], set(1), { outcome: 'refused' }), operation([2, 3], read(1), session)],
    ],
    ['a value that no client wrote', /no client wrote/, [operation([2, 3], read(7), session)]],
    [
      'a value that is seen before it is written',
      /before it was written/,
      [operation([0, 1], read(1), { guarantee: 'eventual' }), operation([2, 3], set(1))],
    ],
    [
      'a session read that lacks the write of its own client',
      /had acknowledged set 2/,
      [operation([0, 1], set(1)), operation([2, 3], set(2)), operation([4, 5], read(1), session)],
    ],
    [
      'a session read that lacks a write of another client through its gateway',
      /had acknowledged set 1/,
      [operation([0, 1], set(1), { client: 'd' }), operation([2, 3], read(null), session)],
    ],
    [
      'a client that echoes LSNs and sees an older value than before',
      /then the older 1/,
      [
        operation([0, 1], set(1), { client: 'd', gateway: 'h' }),
        operation([2, 3], set(2), { client: 'd', gateway: 'h' }),
        operation([4, 5], read(2), { ...session, echoes: true }),
        operation([6, 7], read(1), { ...session, echoes: true }),
      ],
    ],
  ])('%s', (_what, reason, history) => {
    expect(faultsOf(history).join('\n')).toMatch(reason);
  });
});
