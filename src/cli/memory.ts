// How the gateway's process gets and gives back memory. What its allocators do with it is fixed when a process begins,
// so it begins again, in place: same process id, same streams, same arguments.

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

/**
 * Begins this process again with bounds on what its allocators keep, unless it has them, or others, already. To be
 * called before anything else is done; returns in the process that has them.
 */
export function boundAllocators(): void {
  const { env, execArgv, execPath, argv } = process;
  if (env['MALLOC_MMAP_THRESHOLD_'] !== undefined) return forgetOurs();
  // Windows has neither.
  if (process.execve === undefined || process.platform === 'win32') return;
  const flags = (env['NODE_OPTIONS'] ?? '').includes(SEMI_SPACE) ? [] : [`${SEMI_SPACE}=${SEMI_SPACE_MIB}`];
  process.execve(execPath, [execPath, ...flags, ...execArgv, ...argv.slice(1)], { ...env, ...ALLOCATOR });
}

/** They are for this process, not for the servers it starts. */
function forgetOurs(): void {
  for (const [name, value] of Object.entries(ALLOCATOR))
    if (process.env[name] === value) delete process.env[name];
}
