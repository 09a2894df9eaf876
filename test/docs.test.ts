// Holds the documents against the code: paths, commands, links, settings and generated tables.

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { posix } from 'node:path';
import { describe, expect, test } from 'vitest';
import { withDifferences } from '../scripts/differences-table.ts';
import { withSettings } from '../scripts/settings-table.ts';
import { ALERT_KINDS } from '../src/alerts/alert-kinds.ts';
import { SETTINGS } from '../src/config/config.ts';
import { NODE_STATES } from '../src/nodes/node-state.ts';
import { EVENT_KINDS } from '../src/observability/events.ts';

const ROOT = new URL('../', import.meta.url);
const read = (path: string): string => readFileSync(new URL(path, ROOT), 'utf8');
const isThere = (path: string): boolean => existsSync(new URL(path, ROOT));
const CONFIGURATION = 'docs/configuration.md';
const README_LINES_MAX = 150;
/** Made by `npm ci`; a checkout may not have it yet. */
const BUILT = 'ui/dist';

const documents = [
  'README.md',
  'ARCHITECTURE.md',
  'CONTRIBUTING.md',
  'CHANGELOG.md',
  ...readdirSync(new URL('docs', ROOT))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
];
const sources = ['src', 'ui/src', 'test', 'bench', 'demo', 'scripts'].flatMap((folder) =>
  readdirSync(new URL(folder, ROOT), { recursive: true, encoding: 'utf8' })
    .filter((name) => /\.(?:tsx?|py)$/.test(name))
    .map((name) => `${folder}/${name}`),
);

/** Paths of this repository that a text names in backticks and that do not exist. */
function missingPaths(text: string): string[] {
  const named = Array.from(
    text.matchAll(/`((?:src|ui|test|docs|scripts|bench|demo)\/[\w./-]*)`/g),
    ([, path]) => path!,
  );
  return named.filter((path) => path !== BUILT && !isThere(path));
}

/** Commands of package.json that a text names and that do not exist. */
function unknownCommands(text: string): string[] {
  const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
  const named = Array.from(text.matchAll(/npm run (?:-s )?([a-z:]+)/g), ([, name]) => name!);
  return named.filter((name) => !(name in scripts));
}

/** The anchors of a document's headings, as GitHub forms them. */
function anchorsOf(text: string): Set<string> {
  const headings = Array.from(text.matchAll(/^#{1,6} (.+)$/gm), ([, heading]) => heading!);
  return new Set(
    headings.map((heading) =>
      heading
        .toLowerCase()
        .replace(/[^\w\s-]/g, '')
        .replaceAll(' ', '-'),
    ),
  );
}

/** Links to files of this repository, seen from `path`, that lead to no file or no heading. */
function brokenLinks(path: string, text: string): string[] {
  const targets = Array.from(text.matchAll(/\]\((?!https?:)([^)\s]+)\)/g), ([, target]) => target!);
  return targets.filter((target) => !leadsSomewhere(path, target));
}

function leadsSomewhere(path: string, target: string): boolean {
  const [file = '', anchor] = target.split('#');
  const to = file === '' ? path : posix.join(posix.dirname(path), file);
  if (!isThere(to)) return false;
  return anchor === undefined || anchorsOf(read(to)).has(anchor);
}

/** Sections of documents that comments refer to and that do not exist. */
function brokenReferences(text: string): string[] {
  const references = Array.from(text.matchAll(/docs\/[\w-]+\.md#[\w-]*/g), ([reference]) => reference);
  return references.filter((reference) => !leadsSomewhere('README.md', reference));
}

/** Invariants and rules that a text cites by number and docs/invariants.md does not state. */
function unknownRules(text: string): string[] {
  const stated = read('docs/invariants.md');
  const cited = Array.from(text.matchAll(/(?<![\w-])[IR]\d{1,2}\b/g), ([rule]) => rule);
  return cited.filter(
    (rule) => !new RegExp(`^(?:## .*\\b${rule}\\b|\\| \\*\\*${rule}\\*\\*)`, 'm').test(stated),
  );
}

describe.each(documents)('%s', (path) => {
  test('names files and commands that exist, and links that lead somewhere', () => {
    const text = read(path);
    expect(missingPaths(text)).toEqual([]);
    expect(unknownCommands(text)).toEqual([]);
    expect(brokenLinks(path, text)).toEqual([]);
  });
});

test('comments refer to sections of the documents that exist', () => {
  const broken = sources
    .filter((path) => path !== 'test/docs.test.ts')
    .flatMap((path) => brokenReferences(read(path)).map((reference) => `${path}: ${reference}`));
  expect(broken).toEqual([]);
});

test('comments and documents cite invariants and rules that docs/invariants.md states', () => {
  const comments = sources
    .filter((path) => path !== 'test/docs.test.ts')
    .map(
      (path) =>
        [
          path,
          read(path)
            .match(/\/\/.*|^\s*(?:\/\*)?\*.*/gm)
            ?.join('\n') ?? '',
        ] as const,
    );
  const cited = [...comments, ...documents.map((path) => [path, read(path)] as const)];
  expect(cited.flatMap(([path, text]) => unknownRules(text).map((rule) => `${path}: ${rule}`))).toEqual([]);
});

test(`README.md has fewer than ${README_LINES_MAX} lines`, () => {
  expect(read('README.md').split('\n').length - 1).toBeLessThan(README_LINES_MAX);
});

test('ARCHITECTURE.md names every folder of src', () => {
  const text = read('ARCHITECTURE.md');
  const isNested = (name: string): boolean => name === 'api' || name === 'chroma';
  const foldersIn = (path: string): string[] =>
    readdirSync(new URL(path, ROOT), { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .flatMap(({ name }) => (isNested(name) ? foldersIn(`${path}${name}/`) : [`${path}${name}/`]));
  expect(foldersIn('src/').filter((folder) => !text.includes(`\`${folder}\``))).toEqual([]);
});

test(`${CONFIGURATION} has the settings of the code (if not: npm run docs)`, () => {
  expect(withSettings(read(CONFIGURATION))).toBe(read(CONFIGURATION));
});

test('docs/compatibility.md has the differences of the differential test (if not: npm run docs)', () => {
  const text = read('docs/compatibility.md');
  expect(withDifferences(text)).toBe(text);
});

test('docs/operations.md explains every kind of event', () => {
  const text = read('docs/operations.md');
  expect(Object.keys(EVENT_KINDS).filter((kind) => !text.includes(`\`${kind}\``))).toEqual([]);
});

/** Commands for operators of which a text has no row of a table. */
function commandsWithoutRow(text: string): string[] {
  // The others start a gateway.
  const servers = new Set(['up', 'serve']);
  const named = Array.from(read('src/main.ts').matchAll(/^ {2}(\w+): \{$/gm), ([, name]) => name!);
  expect(named.length).toBeGreaterThan(10);
  return named.filter(
    (name) => !servers.has(name) && !new RegExp(`^\\| \`polychrome ${name}\\b`, 'm').test(text),
  );
}

test('docs/operations.md has a row for every command', () => {
  expect(commandsWithoutRow(read('docs/operations.md'))).toEqual([]);
});

test('docs/operations.md has a section for every state of a node', () => {
  const text = read('docs/operations.md');
  expect(NODE_STATES.filter((state) => !text.includes(`### State ${state}\n`))).toEqual([]);
});

test('docs/operations.md has a section for every alert', () => {
  const text = read('docs/operations.md');
  expect(Object.keys(ALERT_KINDS).filter((kind) => !text.includes(`### Alert ${kind}\n`))).toEqual([]);
});

test('docs/invariants.md says of every setting where its effect is seen', () => {
  const text = read('docs/invariants.md');
  expect(Object.keys(SETTINGS).filter((name) => !text.includes(`\`${name}\``))).toEqual([]);
});

describe('the checker finds', () => {
  test('a table changed by hand', () => {
    const changed = read(CONFIGURATION).replace('`PORT` | `8000`', '`PORT` | `8080`');
    expect(changed).not.toBe(read(CONFIGURATION));
    expect(withSettings(changed)).toBe(read(CONFIGURATION));
    expect(() => withSettings('no marks')).toThrow('docs/configuration.md lacks');
  });

  test('a command without a row', () => {
    const text = read('docs/operations.md').replaceAll('| `polychrome monitor`', '| `monitor`');
    expect(commandsWithoutRow(text)).toEqual(['monitor']);
  });

  test('files and commands that do not exist', () => {
    expect(missingPaths('`src/main.ts` and `src/nonesuch.ts`')).toEqual(['src/nonesuch.ts']);
    expect(unknownCommands('npm run check; npm run -s nonesuch')).toEqual(['nonesuch']);
  });

  test('rules that are not stated', () => {
    expect(unknownRules('R1, I16, I14, R99 and I99')).toEqual(['R99', 'I99']);
  });

  test('links that lead to no file or no heading', () => {
    const text = '[a](invariants.md#i1-order) [b](invariants.md#none) [c](none.md) [d](https://e.org/x.md)';
    expect(brokenLinks('docs/guarantees.md', text)).toEqual(['invariants.md#none', 'none.md']);
    expect(brokenReferences('// docs/chroma-behaviour.md#none, docs/chroma-behaviour.md#routes')).toEqual([
      'docs/chroma-behaviour.md#none',
    ]);
  });
});
