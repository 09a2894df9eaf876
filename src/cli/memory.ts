// How the gateway's process gets and gives back memory. What its allocators do with it is fixed when a process begins,
// so it begins again, in place: same process id, same streams, same arguments.

import { accessSync, constants } from 'node:fs';

/** glibc's, as its environment knows them (mallopt(3)); nothing to other C libraries. */
const ALLOCATOR = {
  // A body of megabytes is a mapping of its own, gone when it is freed. By default glibc raises this to 32 MiB with the
  // first that is freed, and from then on keeps what bodies leave: 300 MiB in a minute of bulk loads.
  MALLOC_MMAP_THRESHOLD_: String(1024 * 1024),
  // What is free at the end of the heap goes back to the system from here on: some hundred small bodies.
  MALLOC_TRIM_THRESHOLD_: String(4 * 1024 * 1024),
  // Each arena keeps what it freed. The event loop works in one, its helpers (files, TLS, the scanner) share another.
  MALLOC_ARENA_MAX: '2',
} as const;
// Where V8 puts what is new: three times this is held for ever once a burst has needed it. By default 16 MiB; what is
// under way at one moment is far less (docs/performance.md).
const SEMI_SPACE = '--max-semi-space-size';
const SEMI_SPACE_MIB = 8;

// Said to the process that begins again. Its allocators' variables alone do not tell: glibc takes those out of the
// environment of an executable with capabilities (ld.so(8), secure-execution mode), which would begin again for ever.
const BOUND = 'POLYCHROME_ALLOCATORS_BOUND';

/** What of a process this needs. */
export type Self = Pick<NodeJS.Process, 'env' | 'execArgv' | 'execPath' | 'argv' | 'platform'> &
  Partial<Pick<NodeJS.Process, 'execve'>> & { emitWarning: NodeJS.Process['emitWarning'] };

/**
 * Begins this process again with bounds on what its allocators keep, unless it has them, or others, already, or cannot.
 * To be called before anything else is done; returns in the process that has them.
 */
export function boundAllocators(self: Self = process): void {
  const { env, execArgv, execPath, argv } = self;
  if (env[BOUND] !== undefined) return forgetOurs(env);
  if (env['MALLOC_MMAP_THRESHOLD_'] !== undefined) return;
  // Windows has neither.
  if (self.execve === undefined || self.platform === 'win32' || !canExecute(execPath)) return;
  const flags = (env['NODE_OPTIONS'] ?? '').includes(SEMI_SPACE) ? [] : [`${SEMI_SPACE}=${SEMI_SPACE_MIB}`];
  const { emitWarning } = self;
  // That it is experimental in Node 24 is nothing to those who run this.
  self.emitWarning = () => undefined;
  try {
    const words = [execPath, ...flags, ...execArgv, ...argv.slice(1)];
    self.execve(execPath, words, { ...env, ...ALLOCATOR, [BOUND]: '1' });
  } catch {
    // Not allowed here (Node's permission model): more memory is kept, all else is the same.
  } finally {
    self.emitWarning = emitWarning;
  }
}

// Where the system refuses, Node does not throw but aborts: one that was replaced or removed since it was started.
function canExecute(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** They are for this process, not for the servers it starts. */
function forgetOurs(env: NodeJS.ProcessEnv): void {
  delete env[BOUND];
  for (const [name, value] of Object.entries(ALLOCATOR)) if (env[name] === value) delete env[name];
}
