// Memory and CPU of this process and of its container, sampled at an interval.

import { sleep, type Clock } from '../util/clock.ts';
import type { ContainerUsage } from './container.ts';
import type { Gauge } from './metrics-registry.ts';

/** Where the numbers come from. */
export interface ResourceProbe {
  /** Resident memory of the process, bytes. */
  memoryBytes(): number;
  /** CPU time of the process since its start, seconds. */
  cpuSeconds(): number;
  container(): ContainerUsage;
  /** Memory and cores of the machine: the limits where the container has none. */
  readonly machine: { readonly memoryBytes: number; readonly cores: number };
}

export interface ResourceUsage {
  readonly process: {
    readonly memoryBytes: number;
    /** Of what it may use, in percent. */
    readonly memoryPercent: number;
    readonly cpuPercent: number;
  };
  readonly container: {
    readonly memoryBytes: number;
    readonly memoryLimitBytes: number;
    readonly memoryPercent: number;
    readonly cpuCores: number;
    readonly cpuPercent: number;
  };
}

// Long enough to average over rounds of work, short enough for alerts.
const INTERVAL_MS = 5_000;

interface CpuTimes {
  readonly atMs: number;
  readonly process: number;
  readonly container: number | null;
}

export class Resources {
  readonly #probe: ResourceProbe;
  readonly #clock: Clock;
  #times: CpuTimes;
  #usage: ResourceUsage;

  constructor(probe: ResourceProbe, clock: Clock) {
    this.#probe = probe;
    this.#clock = clock;
    const container = probe.container();
    this.#times = this.#timesNow(container);
    this.#usage = this.#usageOf(container, { process: 0, container: 0 });
  }

  /** As of the last sample. */
  get usage(): ResourceUsage {
    return this.#usage;
  }

  /** Samples until `stop` aborts. */
  async run(stop: AbortSignal): Promise<void> {
    while (!stop.aborted) {
      await sleep(this.#clock, INTERVAL_MS, stop);
      if (!stop.aborted) this.sample();
    }
  }

  sample(): void {
    const container = this.#probe.container();
    const before = this.#times;
    this.#times = this.#timesNow(container);
    const seconds = (this.#times.atMs - before.atMs) / 1_000;
    if (seconds <= 0) return;
    const share = (now: number | null, then: number | null): number | null =>
      now === null || then === null ? null : Math.max(0, (now - then) / seconds);
    const process = share(this.#times.process, before.process) ?? 0;
    this.#usage = this.#usageOf(container, {
      process,
      container: share(this.#times.container, before.container) ?? process,
    });
  }

  get metrics(): readonly Gauge[] {
    const gauge = (name: string, unit: string, help: string, read: () => number): Gauge => {
      return { kind: 'gauge', name, unit, help, read };
    };
    const { container, process } = {
      container: () => this.#usage.container,
      process: () => this.#usage.process,
    };
    return [
      gauge('process_memory', 'bytes', 'Resident memory of this process.', () => process().memoryBytes),
      gauge(
        'process_cpu_percent',
        'percent',
        'CPU of this process, of the cores it may use.',
        () => process().cpuPercent,
      ),
      gauge(
        'container_memory',
        'bytes',
        'Memory of the container without page cache.',
        () => container().memoryBytes,
      ),
      gauge(
        'container_memory_limit',
        'bytes',
        'What the container may use.',
        () => container().memoryLimitBytes,
      ),
      gauge(
        'container_cpu_percent',
        'percent',
        'CPU of the container, of its cores.',
        () => container().cpuPercent,
      ),
      gauge('container_cpu_cores', 'cores', 'Cores that the container may use.', () => container().cpuCores),
    ];
  }

  #timesNow({ cpuSeconds }: ContainerUsage): CpuTimes {
    return { atMs: this.#clock.monotonic(), process: this.#probe.cpuSeconds(), container: cpuSeconds };
  }

  /** `cores`: used by each on average since the last sample. */
  #usageOf(usage: ContainerUsage, cores: { process: number; container: number }): ResourceUsage {
    const { machine } = this.#probe;
    const memoryBytes = this.#probe.memoryBytes();
    const memoryLimitBytes = Math.min(usage.memoryLimitBytes ?? Infinity, machine.memoryBytes);
    const cpuCores = Math.min(usage.cpuCores ?? Infinity, machine.cores);
    // Without a limit of its own a cgroup may hold the whole machine: its usage would be that of the host.
    const ofContainer = usage.memoryLimitBytes === null ? null : usage.memoryBytes;
    const containerBytes = ofContainer ?? memoryBytes;
    const cpuOfContainer = usage.cpuCores === null ? cores.process : cores.container;
    const percent = (used: number, limit: number): number => Math.round((1_000 * used) / limit) / 10;
    return {
      process: {
        memoryBytes,
        memoryPercent: percent(memoryBytes, memoryLimitBytes),
        cpuPercent: percent(cores.process, cpuCores),
      },
      container: {
        memoryBytes: containerBytes,
        memoryLimitBytes,
        memoryPercent: percent(containerBytes, memoryLimitBytes),
        cpuCores,
        cpuPercent: percent(cpuOfContainer, cpuCores),
      },
    };
  }
}
