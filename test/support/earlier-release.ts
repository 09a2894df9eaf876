// The source of the last commit before the newest migration of the tables, from the history of the repository.

import { execFileSync } from 'node:child_process';
import { mkdirSync, symlinkSync } from 'node:fs';
import { join, resolve } from 'node:path';

const git = (...words: string[]): Buffer =>
  execFileSync('git', words, { stdio: ['ignore', 'pipe', 'ignore'], maxBuffer: 64 * 1024 * 1024 });

/** Null where git or the history is missing, as in a package or a shallow clone. */
export function earlierRelease(): string | null {
  try {
    const newest = git('log', '-1', '--diff-filter=A', '--format=%H', '--', 'src/postgres/migrations')
      .toString()
      .trim();
    return git('rev-parse', '--verify', `${newest}^`).toString().trim();
  } catch {
    return null;
  }
}

/** Writes the source of the commit into the folder, with the packages that are installed here. */
export function checkOut(commit: string, folder: string): void {
  mkdirSync(folder, { recursive: true });
  const files = git('archive', '--format=tar', commit, 'src', 'package.json');
  execFileSync('tar', ['-x', '-C', folder], { input: files });
  symlinkSync(resolve('node_modules'), join(folder, 'node_modules'));
}
