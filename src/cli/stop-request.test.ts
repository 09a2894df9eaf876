import { EventEmitter } from 'node:events';
import { expect, test } from 'vitest';
import type { Clock } from '../util/clock.ts';
import { StopRequest } from './stop-request.ts';

function setUp() {
  let time = 0;
  const exits: number[] = [];
  const process = Object.assign(new EventEmitter(), { exit: (code: number) => void exits.push(code) });
  const clock: Clock = { now: () => time, monotonic: () => time, after: () => () => {} };
  const request = new StopRequest(process, clock);
  return { process, request, exits, advance: (ms: number) => (time += ms) };
}

test.each(['SIGINT', 'SIGTERM', 'SIGHUP'])('requests an orderly stop on %s', async (signal) => {
  const { process, request, exits } = setUp();
  process.emit(signal);
  await request.requested;
  expect(request.signal.aborted).toBe(true);
  expect(request.failure).toBeNull();
  expect(exits).toEqual([]);
});

test('ignores a second signal that npm forwards immediately', () => {
  const { process, exits, advance } = setUp();
  process.emit('SIGINT');
  advance(50);
  process.emit('SIGINT');
  expect(exits).toEqual([]);
});

test('exits the process on a second Ctrl-C', () => {
  const { process, exits, advance } = setUp();
  process.emit('SIGINT');
  advance(1_500);
  process.emit('SIGINT');
  expect(exits).toEqual([130]);
});

test('requests a stop on a failure and keeps the first reason', async () => {
  const { request } = setUp();
  request.fail('first');
  request.fail('second');
  await request.requested;
  expect(request.failure).toBe('first');
});

test('removes its signal handlers when closed', () => {
  const { process, request } = setUp();
  request.close();
  expect(
    process.listenerCount('SIGINT') + process.listenerCount('SIGTERM') + process.listenerCount('SIGHUP'),
  ).toBe(0);
});
