import { beforeEach, describe, expect, test } from 'vitest';
import { CurrentTerm } from '../coordination/current-term.ts';
import { LogDamaged } from '../log/entry.ts';
import type { NodeState } from '../nodes/node-state.ts';
import type { EventDetail, EventKind } from '../observability/events.ts';
import type { Logger } from '../util/logger.ts';
import type { Follower } from './follower.ts';
import { HaltState } from './halt-state.ts';

const DAMAGED = new LogDamaged(7, 'the checksum of the entry at LSN 7 does not match');

let node: { member: { id: string; state: NodeState }; applier: { checkpoint: number } };
let current: CurrentTerm;
let halt: HaltState;
let recorded: object[];

beforeEach(() => {
  node = { member: { id: 'a', state: 'serving' }, applier: { checkpoint: 6 } };
  current = new CurrentTerm();
  const { signal } = new AbortController();
  current.begin({ epoch: 1, clean: true, signal, held: () => true });
  const logger = { error: () => undefined } as unknown as Logger;
  recorded = [];
  const events = {
    record: (kind: EventKind, detail?: EventDetail) => void recorded.push({ kind, ...detail }),
  };
  halt = new HaltState({ followers: { all: () => [node as unknown as Follower] }, current, events, logger });
});

describe('a damaged entry halts the log', () => {
  test.each<[NodeState, boolean]>([
    ['serving', true],
    ['catching_up', true],
    ['joining', true],
    ['down', true],
    ['fenced', false],
    ['needs_rebuild', false],
  ])('while its node is %s: %s', (state, isHalted) => {
    halt.damaged('a', DAMAGED);
    node.member.state = state;
    expect(halt.reason !== null).toBe(isHalted);
    expect(current.term).not.toBeNull();
  });

  test('until its node has passed it', () => {
    halt.damaged('a', DAMAGED);
    halt.forgetRepaired();
    expect(halt.reason).toBe(DAMAGED.message);
    node.applier.checkpoint = 7;
    expect(halt.reason).toBeNull();
    halt.forgetRepaired();
    node.applier.checkpoint = 0;
    expect(halt.reason).toBeNull();
  });
});

test('a log that lost its last entries halts for good, and ends the term', () => {
  halt.rewound('the log ends at LSN 5, and had reached 9');
  expect([halt.reason, halt.isRewound, current.term]).toEqual([
    'the log ends at LSN 5, and had reached 9',
    true,
    null,
  ]);
});

test('records each cause once', () => {
  halt.damaged('a', DAMAGED);
  halt.damaged('a', DAMAGED);
  halt.rewound('the log ends at LSN 5');
  expect(recorded).toEqual([
    { kind: 'log_halted', node: 'a', cause: 'damaged', lsn: 7, reason: DAMAGED.message },
    { kind: 'log_halted', cause: 'rewound', reason: 'the log ends at LSN 5' },
  ]);
});
