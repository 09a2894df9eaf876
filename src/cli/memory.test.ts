import { describe, expect, test } from 'vitest';
import { boundAllocators, type Self } from './memory.ts';

interface Begun {
  readonly path: string;
  readonly words: readonly string[];
  readonly env: NodeJS.ProcessEnv;
}

/** A process that is told to begin again, and does not. */
class FakeProcess implements Self {
  readonly env: NodeJS.ProcessEnv;
  readonly execArgv = ['--enable-source-maps'];
  execPath = process.execPath;
  readonly argv = [process.execPath, 'main.js', 'serve'];
  platform: NodeJS.Platform = 'linux';
  readonly warnings: unknown[] = [];
  readonly begun: Begun[] = [];
  fails = false;

  constructor(env: NodeJS.ProcessEnv) {
    this.env = env;
  }

  emitWarning = (warning: unknown): void => void this.warnings.push(warning);

  execve = (path: string, words: readonly string[] = [], env: NodeJS.ProcessEnv = {}): never => {
    this.emitWarning('process.execve is an experimental feature');
    if (this.fails) throw new Error('Access to this API has been restricted.');
    this.begun.push({ path, words, env });
    return undefined as never;
  };
}

describe('a process whose allocators have no bounds', () => {
  test('begins again once, in place, with the same words', () => {
    const first = new FakeProcess({ HOME: '/root' });
    boundAllocators(first);
    expect(first.begun).toHaveLength(1);
    const { path, words, env } = first.begun[0]!;
    expect(path).toBe(process.execPath);
    expect(words.slice(2)).toEqual(['--enable-source-maps', 'main.js', 'serve']);
    expect(env).toMatchObject({ HOME: '/root', MALLOC_ARENA_MAX: '2', POLYCHROME_ALLOCATORS_BOUND: '1' });

    const second = new FakeProcess({ ...env });
    boundAllocators(second);
    expect(second.begun).toEqual([]);
    expect(second.env).toEqual({ HOME: '/root' }); // for the servers it starts
  });

  test('does not begin a third time where the allocators of the second were not told', () => {
    const second = new FakeProcess({ POLYCHROME_ALLOCATORS_BOUND: '1' });
    boundAllocators(second);
    expect([second.begun, second.env]).toEqual([[], {}]);
  });

  test('goes on as it is, without a warning, where it cannot begin again', () => {
    const restricted = new FakeProcess({});
    restricted.fails = true;
    const { emitWarning } = restricted;
    boundAllocators(restricted);
    expect(restricted.warnings).toEqual([]);
    expect(restricted.emitWarning).toBe(emitWarning);

    const removed = new FakeProcess({});
    removed.execPath = '/nowhere/node';
    const windows = new FakeProcess({});
    windows.platform = 'win32';
    for (const self of [removed, windows]) boundAllocators(self);
    expect([removed.begun, windows.begun]).toEqual([[], []]);
  });

  test('leaves bounds that somebody else has set, and the servers inherit them', () => {
    const env = { MALLOC_MMAP_THRESHOLD_: '1048576' };
    const self = new FakeProcess({ ...env });
    boundAllocators(self);
    expect([self.begun, self.env]).toEqual([[], env]);
  });
});
