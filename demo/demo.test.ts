// The command as it is typed, as far as it goes without a cluster.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

function demo(...args: string[]) {
  const script = fileURLToPath(new URL('demo.ts', import.meta.url));
  return spawnSync(process.execPath, [script, ...args], { encoding: 'utf8' });
}

test('--help shows the options and examples', () => {
  const { status, stdout } = demo('--help');
  expect(status).toBe(0);
  for (const part of ['--documents <N>', '--writers <N>', 'npm run demo -- ~/notes'])
    expect(stdout).toContain(part);
});

test('a folder that cannot be read is one sentence and exit code 1', () => {
  const { status, stderr } = demo('/nonexistent');
  expect(status).toBe(1);
  expect(stderr).toBe('The folder /nonexistent cannot be read: it does not exist.\n');
});

test.each([
  ['--documents', '0'],
  ['--nodes', '1'],
  ['--writers', 'many'],
  ['--batch', '1001'],
  ['--endpoint', 'http://chroma.example.com:8000'],
  ['--unknown', '1'],
])('%s %s is refused', (option, value) => {
  const { status, stderr } = demo(option, value);
  expect(status).toBe(1);
  expect(stderr).toContain(option);
});
