// Proves that the linter reports the faults that this repository relies on it to find.

import { execFile } from 'node:child_process';
import { copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';

const ROOT = fileURLToPath(new URL('../', import.meta.url));

const WRONG = `
async function work(): Promise<void> {}
export function start(list: number[], kind: 'a' | 'b'): void {
  work();
  list.forEach(async () => work());
  const anything: any = list;
  console.log(anything);
  switch (kind) {
    case 'a':
      console.log(kind);
  }
}
`;

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'polychrome-lint-'));
  const options = { module: 'nodenext', target: 'esnext', strict: true, noEmit: true, types: [] };
  await writeFile(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions: options }));
  await copyFile(join(ROOT, '.oxlintrc.json'), join(folder, '.oxlintrc.json'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** The rules broken by `text`, in alphabetical order. */
async function broken(text: string, path = 'subject.ts'): Promise<string[]> {
  await mkdir(dirname(join(folder, path)), { recursive: true });
  await writeFile(join(folder, path), text);
  const output = await new Promise<string>((resolve) => {
    const arguments_ = ['--format', 'json', path];
    execFile(join(ROOT, 'node_modules/.bin/oxlint'), arguments_, { cwd: folder }, (_error, out) =>
      resolve(out),
    );
  });
  const { diagnostics } = JSON.parse(output) as { diagnostics: { code: string }[] };
  return diagnostics.map(({ code }) => code).sort();
}

test('reports unawaited promises, any, and missing cases', async () => {
  expect(await broken(WRONG)).toEqual([
    'typescript(no-explicit-any)',
    'typescript(no-floating-promises)',
    'typescript(no-misused-promises)',
    'typescript(switch-exhaustiveness-check)',
  ]);
});

test('reports nothing in correct code', async () => {
  expect(await broken('export const one = 1;\n')).toEqual([]);
});

test('reports functions of more than 70 lines in every folder of src but the migrations', async () => {
  const long = `export function long(): void {\n${'  console.log();\n'.repeat(70)}}\n`;
  expect(await broken(long, 'src/app/subject.ts')).toEqual(['eslint(max-lines-per-function)']);
  expect(await broken(long, 'src/postgres/migrations/subject.ts')).toEqual([]);
});
