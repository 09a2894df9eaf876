// Bounds the memory that the gateway's allocators retain. They read their settings at process start, so the process
// executes itself again with the same process id, streams and arguments.

import { accessSync, constants } from 'node:fs';

/** Settings of glibc (mallopt(3)); other C libraries ignore them. */
const ALLOCATOR = {
  // Larger allocations get a mapping of their own, which is unmapped when freed. By default glibc raises this threshold
  // up to 32 MiB when it frees such a mapping, and then retains freed bodies: 300 MiB in a minute of bulk loads.
  MALLOC_MMAP_THRESHOLD_: String(1024 * 1024),
  // Free memory at the end of the heap above this size returns to the system; it holds about a hundred small bodies.
  MALLOC_TRIM_THRESHOLD_: String(4 * 1024 * 1024),
  // Each arena retains freed memory. The event loop uses one; its helpers (files, TLS, the scanner) share another.
  MALLOC_ARENA_MAX: '2',
} as const;
// V8 retains three times the size of its semi-space after a burst. The default is 16 MiB; objects in flight need far
// less (docs/performance.md).
const SEMI_SPACE = '--max-semi-space-size';
const SEMI_SPACE_MIB = 8;

// Marks the executed process. The allocator variables cannot mark it: glibc removes them from the environment of an
// executable with capabilities (ld.so(8), secure-execution mode), which would execute itself for ever.
const BOUND = 'POLYCHROME_ALLOCATORS_BOUND';

/** The part of `process` that boundAllocators uses. */
export type Self = Pick<NodeJS.Process, 'env' | 'execArgv' | 'execPath' | 'argv' | 'platform'> &
  Partial<Pick<NodeJS.Process, 'execve'>> & { emitWarning: NodeJS.Process['emitWarning'] };

/**
 * Executes this process again with bounded allocators, unless it has bounds already or cannot execute itself. Call it
 * before all other work; it returns only in the process that continues.
 */
export function boundAllocators(self: Self = process): void {
  const { env, execArgv, execPath, argv } = self;
  if (env[BOUND] !== undefined) return removeVariables(env);
  if (env['MALLOC_MMAP_THRESHOLD_'] !== undefined) return;
  // Windows supports neither execve nor glibc.
  if (self.execve === undefined || self.platform === 'win32' || !canExecute(execPath)) return;
  const flags = (env['NODE_OPTIONS'] ?? '').includes(SEMI_SPACE) ? [] : [`${SEMI_SPACE}=${SEMI_SPACE_MIB}`];
  const { emitWarning } = self;
  // Hides the warning that execve is experimental in Node 24, which users cannot act on.
  self.emitWarning = () => undefined;
  try {
    const words = [execPath, ...flags, ...execArgv, ...argv.slice(1)];
    self.execve(execPath, words, { ...env, ...ALLOCATOR, [BOUND]: '1' });
  } catch {
    // Node's permission model forbids execve: the process retains more memory and works otherwise.
  } finally {
    self.emitWarning = emitWarning;
  }
}

/** What a process that this one starts has in its environment to begin with bounded allocators. */
export function boundEnvironment(): Readonly<Record<string, string>> {
  return { ...ALLOCATOR, [BOUND]: '1' };
}

// Node aborts instead of throwing when the executable was replaced or removed since its start.
function canExecute(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** Removes the variables, so that the servers started by this process do not inherit them. */
function removeVariables(env: NodeJS.ProcessEnv): void {
  delete env[BOUND];
  for (const [name, value] of Object.entries(ALLOCATOR)) if (env[name] === value) delete env[name];
}
