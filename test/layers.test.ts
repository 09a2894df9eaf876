// The layout of ARCHITECTURE.md, enforced.

import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { breaches, idleExcuses, importsOf } from './support/layers.ts';

const ROOT = new URL('../', import.meta.url);

const sources = new Map(
  ['src', 'test', 'bench', 'demo', 'scripts']
    .flatMap((folder) =>
      readdirSync(new URL(folder, ROOT), { recursive: true, encoding: 'utf8' }).map(
        (name) => `${folder}/${name}`,
      ),
    )
    .filter((path) => path.endsWith('.ts'))
    .map((path) => [path, readFileSync(new URL(path, ROOT), 'utf8')] as const),
);

test('the code keeps to the layout', () => {
  expect(sources.size).toBeGreaterThan(100);
  expect(breaches(sources)).toEqual([]);
});

test('nobody is excused without need', () => {
  expect(idleExcuses(sources)).toEqual([]);
});

describe('the checker sees', () => {
  const of = (path: string, text: string): string[] => breaches(new Map([[path, text]]));

  test.each([
    ['a data-plane handler importing the admin API', 'src/api/v2/x.ts', "import { a } from '../admin/a.ts';"],
    ['reads importing a type of the API', 'src/read/x.ts', "import type { A } from '../api/v2/a.ts';"],
    ['one peer importing another', 'src/coordination/x.ts', "import { a } from '../chroma/parse/a.ts';"],
    ['an import over several lines', 'src/log/x.ts', "import {\n  a,\n  b,\n} from '../catalog/a.ts';"],
    ['an import upwards', 'src/replication/x.ts', "import { a } from '../read/a.ts';"],
    ['a re-export', 'src/util/x.ts', "export { a } from '../errors.ts';"],
    ['an import while running', 'src/catalog/x.ts', "const a = await import('../log/a.ts');"],
    ['a worker elsewhere', 'src/chroma/parse/x.ts', "new Worker(new URL('../../read/a.ts', import.meta.url));"],
    ['a file below the composition reading the configuration', 'src/read/x.ts', "import '../config/config.ts';"],
    ['a folder nobody knows', 'src/helpers/x.ts', ''],
    ['a file of 501 lines', 'test/x.ts', '\n'.repeat(501)],
    ['the time', 'src/read/x.ts', 'const at = Date.now();'],
    ['a timer', 'src/read/x.ts', 'setTimeout(go, 5);'],
    ['chance', 'src/nodes/x.ts', 'const pick = Math.random();'],
    ['the real clock', 'src/nodes/x.ts', "import { systemClock } from '../util/clock.ts';"],
  ])('%s', (_what, path, text) => {
    expect(of(path, text)).toHaveLength(1);
  });

  test('nothing in what is allowed', () => {
    const text =
      "// Math.random would do\nimport { a } from '../chroma/parse/a.ts';\nimport pg from 'pg';\n/* setTimeout */";
    expect(of('src/replication/x.ts', text)).toEqual([]);
    expect(of('src/read/x.test.ts', "import '../api/admin/a.ts'; Date.now();")).toEqual([]);
    expect(of('src/app/gateway.ts', "import { a } from '../config/config.ts'; Math.random();")).toEqual([]);
  });

  test('every import of a file', () => {
    const text = "import a from './a.ts';\nexport * from '../b/b.ts';\nimport './c.ts';\nimport('./d.ts');";
    expect(importsOf(text)).toEqual(['./a.ts', '../b/b.ts', './c.ts', './d.ts']);
  });
});
