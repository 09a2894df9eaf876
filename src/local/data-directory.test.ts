import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { openDataDirectory } from './data-directory.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'polychrome-data-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

test('returns stored values when it is opened again', () => {
  const first = openDataDirectory(join(folder, 'new'));
  expect(first.nodes).toBeNull();
  first.remember({ nodes: 2, ports: { 'node-1': 20_001, 'node-2': 20_002 } });
  const second = openDataDirectory(join(folder, 'new'));
  expect(second.id).toBe(first.id);
  expect(second.nodes).toBe(2);
  expect(second.port('node-2')).toBe(20_002);
});

test('initialises an empty folder, and one that an interrupted first start left', () => {
  mkdirSync(join(folder, 'lost+found'));
  writeFileSync(join(folder, 'polychrome.json.4711'), '{');
  expect(openDataDirectory(folder).nodes).toBeNull();
});

test.each([
  ['a foreign folder', 'is not empty and not a Polychrome data directory', ['notes.txt', 'x']],
  ['a damaged description', 'is damaged', ['polychrome.json', '{']],
  [
    'a description by a newer release',
    'newer Polychrome',
    ['polychrome.json', '{"format":2,"id":"7f1d7c1e-6a0b-4f57-9a39-3a3c2c0f8b11","ports":{}}'],
  ],
])('refuses %s and leaves it unchanged', (_what, sentence, [name, content]) => {
  writeFileSync(join(folder, name!), content!);
  expect(() => openDataDirectory(folder)).toThrow(sentence);
  expect(readdirSync(folder)).toEqual([name]);
});

test('makes the folders above it', () => {
  openDataDirectory(join(folder, 'a', 'b', 'c'));
  expect(readdirSync(join(folder, 'a', 'b'))).toEqual(['c']);
});

test.runIf(process.platform === 'linux')('refuses a path on a file system that takes no folders', () => {
  expect(() => openDataDirectory('/proc/polychrome/data')).toThrow('its file system takes no new folders');
});

test('refuses a path that is a file', () => {
  writeFileSync(join(folder, 'file'), '');
  expect(() => openDataDirectory(join(folder, 'file'))).toThrow('it is a file, not a folder');
  expect(() => openDataDirectory(join(folder, 'file', 'below'))).toThrow('a part of the path is a file');
});
