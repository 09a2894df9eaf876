import { expect, test } from 'vitest';
import { ManualClock } from '../../test/support/manual-clock.ts';
import { containerUsage, type ReadText } from './container.ts';
import { Resources, type ResourceProbe } from './resources.ts';

const files =
  (content: Readonly<Record<string, string>>): ReadText =>
  (path) =>
    content[path] ?? null;

const V2 = {
  '/sys/fs/cgroup/cgroup.controllers': 'cpu memory\n',
  '/proc/self/cgroup': '0::/\n',
  '/sys/fs/cgroup/memory.current': '1000\n',
  '/sys/fs/cgroup/memory.stat': 'anon 700\ninactive_file 300\n',
  '/sys/fs/cgroup/memory.max': '2000\n',
  '/sys/fs/cgroup/cpu.max': '150000 100000\n',
  '/sys/fs/cgroup/cpu.stat': 'usage_usec 5000000\nuser_usec 1\n',
};

test('reads a container with cgroup version 2, without its page cache', () => {
  expect(containerUsage(files(V2))).toEqual({
    memoryBytes: 700,
    memoryLimitBytes: 2_000,
    cpuSeconds: 5,
    cpuCores: 1.5,
  });
});

test('takes the smallest limit of the parents when the cgroup has a path', () => {
  const nested = {
    ...V2,
    '/proc/self/cgroup': '0::/pod/gateway\n',
    '/sys/fs/cgroup/pod/gateway/memory.current': '50\n',
    '/sys/fs/cgroup/pod/gateway/memory.max': 'max\n',
    '/sys/fs/cgroup/pod/memory.max': '100\n',
    '/sys/fs/cgroup/pod/gateway/cpu.max': 'max 100000\n',
  };
  expect(containerUsage(files(nested))).toEqual({
    memoryBytes: 50,
    memoryLimitBytes: 100,
    cpuSeconds: null,
    cpuCores: 1.5,
  });
});

test('reads cgroup version 1, whose huge limit means none', () => {
  const v1 = {
    '/sys/fs/cgroup/memory/memory.usage_in_bytes': '900\n',
    '/sys/fs/cgroup/memory/memory.stat': 'total_inactive_file 100\n',
    '/sys/fs/cgroup/memory/memory.limit_in_bytes': '9223372036854771712\n',
    '/sys/fs/cgroup/cpu/cpu.cfs_quota_us': '-1\n',
    '/sys/fs/cgroup/cpu/cpu.cfs_period_us': '100000\n',
    '/sys/fs/cgroup/cpuacct/cpuacct.usage': '2000000000\n',
  };
  expect(containerUsage(files(v1))).toEqual({
    memoryBytes: 800,
    memoryLimitBytes: null,
    cpuSeconds: 2,
    cpuCores: null,
  });
});

test('knows nothing where there are no cgroups', () => {
  expect(Object.values(containerUsage(files({})))).toEqual([null, null, null, null]);
});

function resources(content: Readonly<Record<string, string>>): {
  resources: Resources;
  clock: ManualClock;
  set: { cpu: number; content: Readonly<Record<string, string>> };
} {
  const set = { cpu: 0, content };
  const clock = new ManualClock();
  const probe: ResourceProbe = {
    memoryBytes: () => 500,
    cpuSeconds: () => set.cpu,
    container: () => containerUsage(files(set.content)),
    machine: { memoryBytes: 10_000, cores: 4 },
  };
  return { resources: new Resources(probe, clock), clock, set };
}

test('gives the usage of the container in percent of its limits', () => {
  const { resources: subject, clock, set } = resources(V2);
  clock.advance(10_000);
  set.cpu = 3;
  set.content = { ...V2, '/sys/fs/cgroup/cpu.stat': 'usage_usec 12500000\n' };
  subject.sample();
  expect(subject.usage).toEqual({
    process: { memoryBytes: 500, memoryPercent: 25, cpuPercent: 20 },
    container: {
      memoryBytes: 700,
      memoryLimitBytes: 2_000,
      memoryPercent: 35,
      cpuCores: 1.5,
      cpuPercent: 50,
    },
  });
});

test('without limits gives the usage of the process, never that of the host', () => {
  const unlimited = { ...V2, '/sys/fs/cgroup/memory.max': 'max\n', '/sys/fs/cgroup/cpu.max': 'max 100000\n' };
  const {
    resources: subject,
    clock,
    set,
  } = resources({
    ...unlimited,
    '/sys/fs/cgroup/memory.current': '9999\n',
  });
  clock.advance(10_000);
  set.cpu = 4;
  set.content = { ...unlimited, '/sys/fs/cgroup/cpu.stat': 'usage_usec 99000000\n' };
  subject.sample();
  expect(subject.usage.container).toEqual({
    memoryBytes: 500,
    memoryLimitBytes: 10_000,
    memoryPercent: 5,
    cpuCores: 4,
    cpuPercent: 10,
  });
});
