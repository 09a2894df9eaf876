// Every test file belongs to exactly one project of vitest.config.ts: the one of what it starts.

import { execFileSync } from 'node:child_process';
import { globSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';

const ROOT = fileURLToPath(new URL('../', import.meta.url));

interface Listed {
  readonly file: string;
  readonly projectName: string;
}

const STARTS_CHROMA = /\b(?:startBareServer|startChroma|startLocalCluster|TestCluster\.start|drillTests)\(/;
const STARTS_POSTGRES = /\b(?:testPostgres|ownPostgres|startPostgres)\(/;

/** What is wrong with the projects that vitest lists for the files of the repository, one sentence each. */
function misplaced(files: readonly string[], listed: readonly Listed[], textOf: (file: string) => string) {
  const projectsOf = Map.groupBy(listed, ({ file }) => file);
  return files.flatMap((file) => {
    const projects = (projectsOf.get(file) ?? []).map(({ projectName }) => projectName);
    if (projects.length !== 1) return [`${file} is in ${projects.length} projects: ${projects.join(', ')}`];
    const text = textOf(file);
    const [project] = projects;
    if (project === 'unit' && STARTS_POSTGRES.test(text)) return [`${file} of unit starts PostgreSQL`];
    if ((project === 'unit' || project === 'pg') && STARTS_CHROMA.test(text))
      return [`${file} of ${project} starts Chroma`];
    return [];
  });
}

test('every test file is in one project, and starts no more than the project allows', () => {
  const files = globSync('{src,ui,test,demo,bench,scripts}/**/*.test.ts', { cwd: ROOT });
  const vitest = `${ROOT}node_modules/vitest/vitest.mjs`;
  const list = [vitest, 'list', '--filesOnly', '--json', '--config', 'vitest.config.ts'];
  const output = execFileSync(process.execPath, list, { cwd: ROOT, encoding: 'utf8' });
  const listed = (JSON.parse(output) as Listed[]).map(({ file, projectName }) => ({
    file: file.slice(ROOT.length),
    projectName,
  }));
  expect(files.length).toBeGreaterThan(100);
  const self = 'test/projects.process.test.ts';
  const textOf = (file: string): string => (file === self ? '' : readFileSync(`${ROOT}${file}`, 'utf8'));
  expect(misplaced(files, listed, textOf)).toEqual([]);
});

describe('the check reports', () => {
  const of = (projects: readonly string[], text = ''): string[] =>
    misplaced(
      ['a.test.ts'],
      projects.map((projectName) => ({ file: 'a.test.ts', projectName })),
      () => text,
    );

  test.each([
    ['a file of no project', [], ''],
    ['a file of two projects', ['unit', 'pg'], ''],
    ['a unit test that starts PostgreSQL', ['unit'], 'await testPostgres()'],
    ['a unit test that starts a Chroma server', ['unit'], 'await startBareServer()'],
    ['a test of pg that starts a cluster', ['pg'], 'await TestCluster.start()'],
  ])('%s', (_what, projects, text) => {
    expect(of(projects, text)).toHaveLength(1);
  });

  test('nothing about a file in the project of what it starts', () => {
    expect(of(['pg'], 'await testPostgres()')).toEqual([]);
    expect(of(['system'], 'await TestCluster.start()')).toEqual([]);
  });
});
