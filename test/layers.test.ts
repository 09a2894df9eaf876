// Enforces the layout of ARCHITECTURE.md.

import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { breaches, importsOf, sharedNames, unneededTimeExceptions } from './support/layers.ts';

const ROOT = new URL('../', import.meta.url);

const sources = new Map(
  ['src', 'ui/src', 'test', 'bench', 'demo', 'scripts']
    .flatMap((folder) =>
      readdirSync(new URL(folder, ROOT), { recursive: true, encoding: 'utf8' }).map(
        (name) => `${folder}/${name}`,
      ),
    )
    .filter((path) => /\.tsx?$/.test(path))
    .map((path) => [path, readFileSync(new URL(path, ROOT), 'utf8')] as const),
);

test('the code keeps to the layout', () => {
  expect(sources.size).toBeGreaterThan(100);
  expect(breaches(sources)).toEqual([]);
});

test('no two types or exported functions share a name', () => {
  expect(sharedNames(sources)).toEqual([]);
});

test('every exception is needed', () => {
  expect(unneededTimeExceptions(sources)).toEqual([]);
});

describe('the check reports', () => {
  test.each([
    [
      'a handler of api/v2 that imports the admin API',
      'src/api/v2/x.ts',
      "import { a } from '../admin/a.ts';",
    ],
    ['a read that imports a type of the API', 'src/read/x.ts', "import type { A } from '../api/v2/a.ts';"],
    ['a read that imports the leader', 'src/read/x.ts', "import { a } from '../replication/leader.ts';"],
    ['HTTP that imports domain code', 'src/http/x.ts', "import { a } from '../chroma/parse/a.ts';"],
    ['a parser that imports the protocol', 'src/chroma/parse/x.ts', "import { a } from '../protocol/a.ts';"],
    ['the protocol that imports a client', 'src/chroma/protocol/x.ts', "import { a } from '../client/a.ts';"],
    ['a client that imports a batch', 'src/chroma/client/x.ts', "import { a } from '../batch/a.ts';"],
    ['one peer that imports another', 'src/coordination/x.ts', "import { a } from '../chroma/parse/a.ts';"],
    ['an import over several lines', 'src/log/x.ts', "import {\n  a,\n  b,\n} from '../catalog/a.ts';"],
    ['an import upwards', 'src/replication/x.ts', "import { a } from '../read/a.ts';"],
    ['a re-export', 'src/util/x.ts', "export { a } from '../errors.ts';"],
    ['a dynamic import', 'src/catalog/x.ts', "const a = await import('../log/a.ts');"],
    [
      'a worker elsewhere',
      'src/chroma/parse/x.ts',
      "new Worker(new URL('../../read/a.ts', import.meta.url));",
    ],
    [
      'a file below the composition that reads the configuration',
      'src/read/x.ts',
      "import '../config/a.ts';",
    ],
    ['an unknown folder', 'src/helpers/x.ts', ''],
    ['a source of 401 lines', 'src/read/x.ts', '\n'.repeat(401)],
    ['a test of 501 lines', 'src/read/x.test.ts', '\n'.repeat(501)],
    ['the time', 'src/read/x.ts', 'const at = Date.now();'],
    ['a timer', 'src/read/x.ts', 'setTimeout(go, 5);'],
    ['randomness', 'src/nodes/x.ts', 'const pick = Math.random();'],
    ['the real clock', 'src/nodes/x.ts', "import { systemClock } from '../util/clock.ts';"],
    ['the leader named outside of replication', 'src/nodes/x.ts', 'const leader: Leader = other;'],
    ['the first of several shards', 'src/repair/x.ts', 'const shard = collection.shards[0];'],
    ['a file that imports itself', 'src/nodes/x.ts', "import type { A } from './x.ts';"],
  ])('%s', (_what, path, text) => {
    expect(breaches(new Map([[path, text]]))).toHaveLength(1);
  });

  test('a circle of imports, of types too, once', () => {
    const circle = new Map([
      ['src/nodes/main.ts', "import { a } from './a.ts';"],
      ['src/nodes/a.ts', "import type { B } from './b.ts';"],
      ['src/nodes/b.ts', "import { c } from './c.ts';"],
      ['src/nodes/c.ts', "import './a.ts';"],
    ]);
    expect(breaches(circle)).toEqual([
      'import circle: src/nodes/a.ts → src/nodes/b.ts → src/nodes/c.ts → src/nodes/a.ts',
    ]);
  });

  test.each([
    ['types', 'interface Waiting {}', 'export type Waiting = string;'],
    ['functions', 'export function waiting() {}', 'export async function waiting() {}'],
    ['classes', 'export class Waiting {}', 'export abstract class Waiting {}'],
  ])('%s of one name in two files', (_what, one, other) => {
    const both = new Map([
      ['src/read/a.ts', one],
      ['src/nodes/b.ts', other],
    ]);
    expect(sharedNames(both)).toHaveLength(1);
  });

  test('nothing in code that keeps to the rules', () => {
    const text =
      "// Math.random would do\nimport { a } from '../chroma/parse/a.ts';\nimport pg from 'pg';\n/* setTimeout */";
    expect(breaches(new Map([['src/replication/x.ts', text]]))).toEqual([]);
    expect(breaches(new Map([['src/read/x.test.ts', "import '../api/admin/a.ts'; Date.now();"]]))).toEqual(
      [],
    );
    expect(breaches(new Map([['src/app/deps.ts', "import '../config/a.ts'; Math.random();"]]))).toEqual([]);
    const shared = new Map([
      ['src/read/a.ts', "export interface Waiting {}\nimport './b.ts';\nimport './c.ts';"],
      ['src/read/b.ts', "export type { Waiting } from './d.ts';\nimport './c.ts';"],
    ]);
    expect([...breaches(shared), ...sharedNames(shared)]).toEqual([]);
  });

  test('every form of import of a file', () => {
    const text = "import a from './a.ts';\nexport * from '../b/b.ts';\nimport './c.ts';\nimport('./d.ts');";
    expect(importsOf(text)).toEqual(['./a.ts', '../b/b.ts', './c.ts', './d.ts']);
  });
});
