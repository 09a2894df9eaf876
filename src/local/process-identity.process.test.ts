import { spawn } from 'node:child_process';
import { expect, test } from 'vitest';
import { identityOf, isRunning, parseProcStat } from './process-identity.ts';

const stat = (name: string, state: string): string =>
  `42 (${name}) ${state} 1 40 40 0 -1 4194304 0 0 0 0 0 0 0 0 20 0 1 0 98765 1000 10 18446744073709551615`;

test.each(['postgres', 'a (strange) name', ') S 1 1 1'])(
  'parses the fields when the program is named "%s"',
  (name) => {
    expect(parseProcStat(stat(name, 'S'))).toEqual({ ended: false, group: 40, startTicks: '98765' });
  },
);

test('reports a zombie as ended', () => {
  expect(parseProcStat(stat('node', 'Z'))?.ended).toBe(true);
});

test('distinguishes a process from another one with the same pid', () => {
  const self = identityOf(process.pid);
  expect(self).toBeDefined();
  expect(isRunning(self!)).toBe(true);
  expect(isRunning({ ...self!, startedAt: 'at another time' })).toBe(false);
});

test('reports a process as not running after its exit', async () => {
  const child = spawn(process.execPath, ['-e', 'process.stdin.resume()'], { stdio: 'pipe' });
  const identity = identityOf(child.pid!);
  expect(isRunning(identity!)).toBe(true);
  const exited = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await exited;
  expect(isRunning(identity!)).toBe(false);
});
