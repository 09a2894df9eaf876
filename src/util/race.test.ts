import { getEventListeners } from 'node:events';
import { expect, test, vi } from 'vitest';
import { Aborted, linkedAbort, onAbort, orAborted } from './race.ts';

const listenersOf = (signal: AbortSignal): number => getEventListeners(signal, 'abort').length;
const never = new Promise<never>(() => undefined);

test('orAborted returns the result of the work and removes its listener', async () => {
  const { signal } = new AbortController();
  const result = orAborted(Promise.resolve('done'), signal);
  expect(listenersOf(signal)).toBe(1);
  await expect(result).resolves.toBe('done');
  expect(listenersOf(signal)).toBe(0);
});

test('orAborted rejects with the error of the work and removes its listener', async () => {
  const { signal } = new AbortController();
  await expect(orAborted(Promise.reject(new Error('failed')), signal)).rejects.toThrow('failed');
  expect(listenersOf(signal)).toBe(0);
});

test('orAborted rejects with Aborted when the signal aborts before the work ends', async () => {
  const abort = new AbortController();
  const result = orAborted(never, abort.signal);
  abort.abort();
  await expect(result).rejects.toThrow(Aborted);
});

test('orAborted rejects with the given error when the signal has aborted already', async () => {
  const result = orAborted(never, AbortSignal.abort(), () => new Error('the term ended'));
  await expect(result).rejects.toThrow('the term ended');
});

test('orAborted ignores a rejection of the work after the signal aborted', async () => {
  // An unhandled rejection would fail this test file.
  await expect(orAborted(Promise.reject(new Error('late')), AbortSignal.abort())).rejects.toThrow(Aborted);
});

test('onAbort calls the task once when the signal aborts', () => {
  const abort = new AbortController();
  const task = vi.fn();
  onAbort(abort.signal, task);
  expect(task).not.toHaveBeenCalled();
  abort.abort();
  expect(task).toHaveBeenCalledTimes(1);
});

test('onAbort calls the task at once when the signal has aborted already', () => {
  const task = vi.fn();
  onAbort(AbortSignal.abort(), task);
  expect(task).toHaveBeenCalledTimes(1);
});

test('onAbort does not call the task after unsubscribing', () => {
  const abort = new AbortController();
  const task = vi.fn();
  const unsubscribe = onAbort(abort.signal, task);
  unsubscribe();
  abort.abort();
  expect(task).not.toHaveBeenCalled();
});

test('onAbort unsubscribes one of two listeners with the same task', () => {
  const abort = new AbortController();
  const task = vi.fn();
  onAbort(abort.signal, task);
  onAbort(abort.signal, task)();
  abort.abort();
  expect(task).toHaveBeenCalledTimes(1);
});

test('linkedAbort aborts with its parent, and alone', () => {
  const parent = new AbortController();
  const [first, second] = [linkedAbort(parent.signal), linkedAbort(parent.signal)];
  first.controller.abort();
  expect(second.controller.signal.aborted).toBe(false);
  parent.abort();
  expect(second.controller.signal.aborted).toBe(true);
  expect(linkedAbort(parent.signal).controller.signal.aborted).toBe(true);
});

test('linkedAbort removes its listener from the parent when unlinked', () => {
  const parent = new AbortController();
  const { controller, unlink } = linkedAbort(parent.signal);
  unlink();
  expect(listenersOf(parent.signal)).toBe(0);
  parent.abort();
  expect(controller.signal.aborted).toBe(false);
});
