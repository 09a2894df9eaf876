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
    ['proxy importing admin', 'src/proxy/x.ts', "import { a } from '../admin/a.ts';"],
    ['admin importing a type of proxy', 'src/admin/x.ts', "import type { A } from '../proxy/a.ts';"],
    ['one peer importing another', 'src/cluster/x.ts', "import { a } from '../chroma/a.ts';"],
    ['an import over several lines', 'src/log/x.ts', "import {\n  a,\n  b,\n} from '../catalog/a.ts';"],
    ['an import upwards', 'src/replication/x.ts', "import { a } from '../proxy/a.ts';"],
    ['a re-export', 'src/util/x.ts', "export { a } from '../errors.ts';"],
    ['an import while running', 'src/catalog/x.ts', "const a = await import('../log/a.ts');"],
    ['a worker elsewhere', 'src/chroma/x.ts', "new Worker(new URL('../proxy/a.ts', import.meta.url));"],
    ['anybody but the gateway reading the configuration', 'src/proxy/x.ts', "import '../config.ts';"],
    ['a folder nobody knows', 'src/helpers/x.ts', ''],
    ['a file of 501 lines', 'test/x.ts', '\n'.repeat(501)],
    ['the time', 'src/proxy/x.ts', 'const at = Date.now();'],
    ['a timer', 'src/proxy/x.ts', 'setTimeout(go, 5);'],
    ['chance', 'src/cluster/x.ts', 'const pick = Math.random();'],
    ['the real clock', 'src/cluster/x.ts', "import { systemClock } from '../util/clock.ts';"],
  ])('%s', (_what, path, text) => {
    expect(of(path, text)).toHaveLength(1);
  });

  test('nothing in what is allowed', () => {
    const text =
      "// Math.random would do\nimport { a } from '../chroma/a.ts';\nimport pg from 'pg';\n/* setTimeout */";
    expect(of('src/replication/x.ts', text)).toEqual([]);
    expect(of('src/proxy/x.test.ts', "import '../admin/a.ts'; Date.now();")).toEqual([]);
    expect(of('src/gateway.ts', "import { a } from './config.ts'; Math.random();")).toEqual([]);
  });

  test('every import of a file', () => {
    const text = "import a from './a.ts';\nexport * from '../b/b.ts';\nimport './c.ts';\nimport('./d.ts');";
    expect(importsOf(text)).toEqual(['./a.ts', '../b/b.ts', './c.ts', './d.ts']);
  });
});
