import { execFile, spawn, spawnSync } from 'node:child_process';
import { expect, test } from 'vitest';

test('a unit test can start no process', () => {
  expect(() => spawn(process.execPath, ['--version'])).toThrow('*.process.test.ts');
  expect(() => spawnSync(process.execPath, ['--version'])).toThrow('*.process.test.ts');
  expect(() => execFile(process.execPath, ['--version'])).toThrow('*.process.test.ts');
});
