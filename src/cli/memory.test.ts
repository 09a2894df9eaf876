import { describe, expect, test } from 'vitest';
import { boundAllocators, type Self } from './memory.ts';

interface Execution {
  readonly path: string;
  readonly words: readonly string[];
  readonly env: NodeJS.ProcessEnv;
}

/** A process that records execve instead of executing it. */
class FakeProcess implements Self {
  readonly env: NodeJS.ProcessEnv;
  readonly execArgv = ['--enable-source-maps'];
  execPath = process.execPath;
  readonly argv = [process.execPath, 'main.js', 'serve'];
  platform: NodeJS.Platform = 'linux';
  readonly warnings: unknown[] = [];
  readonly executions: Execution[] = [];
  fails = false;

  constructor(env: NodeJS.ProcessEnv) {
    this.env = env;
  }

  emitWarning = (warning: unknown): void => void this.warnings.push(warning);

  execve = (path: string, words: readonly string[] = [], env: NodeJS.ProcessEnv = {}): never => {
    this.emitWarning('process.execve is an experimental feature');
    if (this.fails) throw new Error('Access to this API has been restricted.');
    this.executions.push({ path, words, env });
    return undefined as never;
  };
}

describe('a process whose allocators have no bounds', () => {
  test('executes itself once with the same arguments', () => {
    const first = new FakeProcess({ HOME: '/root' });
    boundAllocators(first);
    expect(first.executions).toHaveLength(1);
    const { path, words, env } = first.executions[0]!;
    expect(path).toBe(process.execPath);
    expect(words.slice(2)).toEqual(['--enable-source-maps', 'main.js', 'serve']);
    expect(env).toMatchObject({ HOME: '/root', MALLOC_ARENA_MAX: '2', POLYCHROME_ALLOCATORS_BOUND: '1' });

    const second = new FakeProcess({ ...env });
    boundAllocators(second);
    expect(second.executions).toEqual([]);
    expect(second.env).toEqual({ HOME: '/root' }); // for the servers it starts
  });

  test('does not execute itself again when glibc has removed the allocator variables', () => {
    const second = new FakeProcess({ POLYCHROME_ALLOCATORS_BOUND: '1' });
    boundAllocators(second);
    expect([second.executions, second.env]).toEqual([[], {}]);
  });

  test('continues without a warning when it cannot execute itself', () => {
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
    expect([removed.executions, windows.executions]).toEqual([[], []]);
  });

  test('keeps allocator variables that the operator has set, and its servers inherit them', () => {
    const env = { MALLOC_MMAP_THRESHOLD_: '1048576' };
    const self = new FakeProcess({ ...env });
    boundAllocators(self);
    expect([self.executions, self.env]).toEqual([[], env]);
  });
});
