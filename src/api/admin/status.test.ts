import { expect, test } from 'vitest';
import { statusOf, type NodeSource, type StatusSource } from './status.ts';

test('the status shows no credentials of a node', () => {
  const member = {
    id: 'a',
    url: 'http://user:secret@host:8000',
    state: 'down',
    since: 0,
    reason: 'no response from http://user:secret@host:8000',
    lastError: 'http://user:secret@host:8000 refused',
  };
  const nothing = (): null => null;
  const node = {
    member,
    checkpoint: 0,
    lag: () => ({ entries: 0, ms: null }),
    work: nothing,
    failing: nothing,
    verification: nothing,
    suspects: () => [],
    pid: undefined,
  };
  const source = {
    gatewayId: 'g',
    term: nothing,
    halted: nothing,
    primary: nothing,
    head: () => 0,
    reads: () => ({}),
    nodes: () => [node as unknown as NodeSource],
    quarantined: () => [],
    now: () => 0,
  };
  const text = JSON.stringify(statusOf(source as unknown as StatusSource));
  expect(text).toContain('http://***@host:8000');
  expect(text).not.toContain('secret');
});
