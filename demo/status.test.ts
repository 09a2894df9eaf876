import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { afterEach, expect, test } from 'vitest';
import { isLevel, killNode, type NodeStatus, readStatus, type Status, waitForStatus } from './status.ts';

const node = (id: string, changes: Partial<NodeStatus> = {}): NodeStatus => ({
  id,
  url: `http://127.0.0.1:1/${id}`,
  role: 'replica',
  state: 'serving',
  checkpoint: 7,
  pid: 1000,
  ...changes,
});

test.each<[string, boolean, Status, NodeStatus[]]>([
  ['all serve at the head', true, { head: 7, nodes: [node('a'), node('b')] }, []],
  ['one is behind', false, { head: 7, nodes: [node('a'), node('b', { checkpoint: 6 })] }, []],
  ['one does not serve', false, { head: 7, nodes: [node('a'), node('b', { state: 'catching_up' })] }, []],
  ['a dead process is still listed', false, { head: 7, nodes: [node('a')] }, [node('a')]],
  ['the dead process was replaced', true, { head: 7, nodes: [node('a', { pid: 1001 })] }, [node('a')]],
  ['there are no nodes', false, { head: 0, nodes: [] }, []],
])('level when %s: %s', (_what, expected, status, killed) => {
  expect(isLevel(status, killed)).toBe(expected);
});

let server: Server | undefined;
afterEach(() => server?.close());

/** A gateway whose /status gives these answers in turn, the last one for ever. */
async function gateway(...answers: unknown[]): Promise<string> {
  server = createServer((_request, response) => {
    const answer = answers.length > 1 ? answers.shift() : answers[0];
    response.end(JSON.stringify(answer));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  return `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}`;
}

const { signal } = new AbortController();
const until = (status: Status): boolean => isLevel(status, []);

test('waiting ends with the first status that is level, and with the last one seen when none is', async () => {
  const behind = { head: 9, nodes: [node('a')] };
  const endpoint = await gateway(behind, behind, { head: 9, nodes: [node('a', { checkpoint: 9 })] });
  expect((await waitForStatus({ endpoint, until, timeoutMs: 5000, signal })).head).toBe(9);
  server?.close();
  const stuck = await gateway(behind);
  await expect(waitForStatus({ endpoint: stuck, until, timeoutMs: 250, signal })).rejects.toThrow(
    'head 9; a replica serving at 7',
  );
});

test('an answer that is not a status is refused', async () => {
  await expect(readStatus(await gateway({ head: 1, nodes: [{ id: 'a' }] }))).rejects.toThrow(/url/);
});

test('the serving node of a role is killed by its process id', async () => {
  const victim = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' });
  const ended = once(victim, 'exit');
  const nodes = [
    node('a', { role: 'primary', pid: 2 ** 30 }),
    node('b', { state: 'down', pid: 2 ** 30 }),
    node('c', { pid: victim.pid }),
  ];
  const endpoint = await gateway({ head: 7, nodes });
  expect((await killNode(endpoint, 'replica')).id).toBe('c');
  expect(await ended).toEqual([null, 'SIGKILL']);
});

test('nothing is killed without a serving node of that role, or without its process id', async () => {
  const endpoint = await gateway({ head: 7, nodes: [node('a', { role: 'primary', state: 'down' })] });
  await expect(killNode(endpoint, 'primary')).rejects.toThrow(/No primary is serving/);
  server?.close();
  const remote = await gateway({ head: 7, nodes: [node('a', { pid: null })] });
  await expect(killNode(remote, 'replica')).rejects.toThrow(/no process id for node a/);
});
