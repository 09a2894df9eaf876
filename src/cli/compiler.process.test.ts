import { spawnSync } from 'node:child_process';
import { expect, test } from 'vitest';

test('sets a flag that this V8 accepts without a message', () => {
  const module = new URL('compiler.ts', import.meta.url).href;
  const program = `const { optimizeEarly } = await import('${module}'); optimizeEarly();`;
  const { status, stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '--eval', program], {
    encoding: 'utf8',
    env: {},
  });
  expect({ status, stdout, stderr }).toEqual({ status: 0, stdout: '', stderr: '' });
});
