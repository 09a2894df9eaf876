// `polychrome selftest` against a real cluster, with the primary killed meanwhile.

import { afterAll, beforeAll, expect, test } from 'vitest';
import { selftestCommand } from '../../src/cli/selftest.ts';
import { PROCESS } from '../../src/cli/command-context.ts';
import { TestCluster } from '../support/cluster.ts';

let cluster: TestCluster;
beforeAll(async () => {
  cluster = await TestCluster.start({ nodes: 3 });
});
afterAll(() => cluster?.stop());

test('passes on a healthy cluster, and through the death of its primary without a failed request', async () => {
  let output = '';
  const write = (text: string | Uint8Array): void => {
    output += String(text);
    const primary = /^Stop (\S+) now/m.exec(String(text))?.[1];
    const node = cluster.local.nodes.find(({ id }) => id === primary);
    if (node !== undefined) process.kill(node.pid()!, 'SIGKILL');
  };
  const command = selftestCommand({ ...PROCESS, write });
  await command.parseAsync(['--url', cluster.url, '--failover'], { from: 'user' });
  expect(output).not.toContain('FAILED');
  expect(output.match(/^passed/gm)).toHaveLength(12);
  expect(JSON.parse((await cluster.api.collections()).text)).toEqual([]);
});

test('says that no webhook is configured', async () => {
  await cluster.allServe();
  let output = '';
  const write = (text: string | Uint8Array): void => void (output += String(text));
  const command = selftestCommand({ ...PROCESS, write });
  const run = command.parseAsync(['--url', cluster.url, '--alerts'], { from: 'user' });
  await expect(run).rejects.toThrow('A check failed.');
  expect(output.match(/^FAILED.*/gm)).toEqual([expect.stringContaining('no webhook is configured')]);
});

test('fails where no gateway responds', async () => {
  const command = selftestCommand({ ...PROCESS, write: () => undefined });
  await expect(command.parseAsync(['--url', 'http://127.0.0.1:1'], { from: 'user' })).rejects.toThrow(
    'A check failed.',
  );
});
