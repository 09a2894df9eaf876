import { expect, test } from 'vitest';
import { StartupError } from '../errors.ts';
import { commandTemplate, findChromaRelease, splitCommand } from './chroma-release.ts';

const place = { path: '/data dir/n1', host: '127.0.0.1', port: 9001 };

test('appends path, port and host to a command without placeholders', () => {
  expect(commandTemplate('chroma run').commandFor(place)).toEqual({
    command: 'chroma',
    args: ['run', '--path', '/data dir/n1', '--port', '9001', '--host', '127.0.0.1'],
  });
});

test('replaces placeholders anywhere in the command, and appends nothing', () => {
  expect(
    commandTemplate('docker run -p {host}:{port}:8000 -v {path}:/data chroma').commandFor(place),
  ).toEqual({
    command: 'docker',
    args: ['run', '-p', '127.0.0.1:9001:8000', '-v', '/data dir/n1:/data', 'chroma'],
  });
});

test.each([
  ['a b', ['a', 'b']],
  ['  "/opt/my chroma/run"   --x=\'1 2\' ', ['/opt/my chroma/run', '--x=1 2']],
  ['a""b \'\'', ['ab', '']],
])('splits %s as a shell does', (text, words) => {
  expect(splitCommand(text)).toEqual(words);
});

test.each(['', '   ', 'chroma "run', "it's"])('refuses the command <%s>', (text) => {
  expect(() => splitCommand(text)).toThrow(StartupError);
});

test('finds an installed release that loads on this machine', async () => {
  const release = await findChromaRelease();
  expect(release.name).toMatch(/^Chroma \d+\.\d+\.\d+$/);
});
