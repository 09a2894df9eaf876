// What the documents say of the code is held against it.

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { withDifferences } from '../scripts/differences-table.ts';
import { withSettings } from '../scripts/settings-table.ts';
import { SETTINGS } from '../src/config.ts';

const ROOT = new URL('../', import.meta.url);
const read = (path: string): string => readFileSync(new URL(path, ROOT), 'utf8');

const documents = [
  'README.md',
  'ARCHITECTURE.md',
  ...readdirSync(new URL('docs', ROOT))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
];

/** Paths of this repository that a text names, in code or as links, and that are not there. */
function missing(text: string): string[] {
  const named = Array.from(
    text.matchAll(/`((?:src|test|docs|scripts|bench|demo)\/[\w./-]*)`/g),
    ([, path]) => path!,
  );
  return named.filter((path) => !existsSync(new URL(path, ROOT)));
}

/** Commands of package.json that a text names and that are not there. */
function unknownCommands(text: string): string[] {
  const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
  const named = Array.from(text.matchAll(/npm run (?:-s )?([a-z:]+)/g), ([, name]) => name!);
  return named.filter((name) => !(name in scripts));
}

describe.each(documents)('%s', (path) => {
  test('names files and commands that are there', () => {
    expect(missing(read(path))).toEqual([]);
    expect(unknownCommands(read(path))).toEqual([]);
  });
});

describe('README.md', () => {
  test('has the settings of the code (if not: npm run docs)', () => {
    expect(withSettings(read('README.md'))).toBe(read('README.md'));
  });
});

describe('docs/invariants.md', () => {
  test('says of every setting where its effect is seen', () => {
    const text = read('docs/invariants.md');
    expect(Object.keys(SETTINGS).filter((name) => !text.includes(`\`${name}\``))).toEqual([]);
  });
});

describe('the checker sees', () => {
  test('a table changed by hand', () => {
    const changed = read('README.md').replace('`PORT` | `8000`', '`PORT` | `8080`');
    expect(changed).not.toBe(read('README.md'));
    expect(withSettings(changed)).toBe(read('README.md'));
    expect(() => withSettings('no marks')).toThrow('README.md lacks');
  });

  test('files and commands that are not there', () => {
    expect(missing('`src/app/gateway.ts` and `src/nonesuch.ts`')).toEqual(['src/nonesuch.ts']);
    expect(unknownCommands('npm run check; npm run -s nonesuch')).toEqual(['nonesuch']);
  });
});

test('the differences in docs/compatibility.md are those of the differential test', () => {
  const text = read('docs/compatibility.md');
  expect(withDifferences(text)).toBe(text);
});
