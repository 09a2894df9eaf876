// Memory and CPU of the container that this process runs in, from its cgroup; never those of the host.

/** The content of a file; null when there is none, or it may not be read. */
export type ReadText = (path: string) => string | null;

export interface ContainerUsage {
  /** Without the page cache that the kernel gives back under pressure; null when it is not known. */
  readonly memoryBytes: number | null;
  /** Null: no limit, or not known. */
  readonly memoryLimitBytes: number | null;
  /** CPU time used since the container started; null when it is not known. */
  readonly cpuSeconds: number | null;
  /** Cores that the container may use; null: no limit, or not known. */
  readonly cpuCores: number | null;
}

const V2_ROOT = '/sys/fs/cgroup';
const V1_MEMORY = '/sys/fs/cgroup/memory';
const V1_CPU = '/sys/fs/cgroup/cpu';
// Version 1 reports no limit as the largest number of whole pages.
const V1_UNLIMITED = 2 ** 60;

/** What the cgroup says at this moment; all null outside of Linux. */
export function containerUsage(read: ReadText): ContainerUsage {
  return read(`${V2_ROOT}/cgroup.controllers`) === null ? usageOfV1(read) : usageOfV2(read);
}

function usageOfV2(read: ReadText): ContainerUsage {
  // Within a container's own namespace the path is "/". Elsewhere a limit of any parent applies too.
  const path = /^0::(\/\S*)$/m.exec(read('/proc/self/cgroup') ?? '')?.[1] ?? '/';
  const own = `${V2_ROOT}${path === '/' ? '' : path}`;
  const current = numberIn(read(`${own}/memory.current`));
  const inactive = field(read(`${own}/memory.stat`), 'inactive_file') ?? 0;
  const usec = field(read(`${own}/cpu.stat`), 'usage_usec');
  const folders = withParents(path);
  return {
    memoryBytes: current === null ? null : Math.max(0, current - inactive),
    memoryLimitBytes: least(folders.map((folder) => numberIn(read(`${folder}/memory.max`)))),
    cpuSeconds: usec === null ? null : usec / 1e6,
    cpuCores: least(folders.map((folder) => coresOf(read(`${folder}/cpu.max`)))),
  };
}

function usageOfV1(read: ReadText): ContainerUsage {
  const usage = numberIn(read(`${V1_MEMORY}/memory.usage_in_bytes`));
  const inactive = field(read(`${V1_MEMORY}/memory.stat`), 'total_inactive_file') ?? 0;
  const limit = numberIn(read(`${V1_MEMORY}/memory.limit_in_bytes`));
  const quota = numberIn(read(`${V1_CPU}/cpu.cfs_quota_us`));
  const period = numberIn(read(`${V1_CPU}/cpu.cfs_period_us`));
  const nanoseconds = numberIn(read('/sys/fs/cgroup/cpuacct/cpuacct.usage'));
  return {
    memoryBytes: usage === null ? null : Math.max(0, usage - inactive),
    memoryLimitBytes: limit === null || limit >= V1_UNLIMITED ? null : limit,
    cpuSeconds: nanoseconds === null ? null : nanoseconds / 1e9,
    cpuCores: quota === null || period === null || quota <= 0 ? null : quota / period,
  };
}

/** The folder of a cgroup and those of its parents. */
function withParents(path: string): string[] {
  const folders: string[] = [];
  for (let rest = path; rest !== '' && rest !== '/'; rest = rest.slice(0, rest.lastIndexOf('/')))
    folders.push(`${V2_ROOT}${rest}`);
  return [...folders, V2_ROOT];
}

function least(values: readonly (number | null)[]): number | null {
  const known = values.filter((value) => value !== null);
  return known.length === 0 ? null : Math.min(...known);
}

/** Null also for "max". */
function numberIn(text: string | null): number | null {
  return text !== null && /^-?\d+\s*$/.test(text) ? Number(text) : null;
}

function field(text: string | null, name: string): number | null {
  const value = new RegExp(`^${name} (\\d+)$`, 'm').exec(text ?? '')?.[1];
  return value === undefined ? null : Number(value);
}

function coresOf(text: string | null): number | null {
  const [, quota, period] = /^(\d+) (\d+)\s*$/.exec(text ?? '') ?? [];
  return quota === undefined ? null : Number(quota) / Number(period);
}
