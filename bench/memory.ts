// Memory: the gateway's peak resident set size under continuous bulk adds.

import { readFileSync, writeFileSync } from 'node:fs';
import type { BenchmarkRun } from './closed-workload.ts';
import { runClosed } from './load.ts';
import { adds } from './supply.ts';
import type { Target } from './targets.ts';

const RECORDS_PER_CALL = 1_000;
const LOADERS = 4;
/** A server rewrites a collection's whole index every 1,000 records, so large collections would measure only that. */
const BYTES_PER_COLLECTION = 100_000_000;
const MIB = 1024 * 1024;
const NO_LIMIT_MS = 3_600_000;

export async function measureMemory(target: Target, run: BenchmarkRun): Promise<void> {
  const { settings, bodies, results } = run;
  const { server } = target;
  const pid = server.gatewayPid;
  if (pid === undefined) return;
  if (process.platform !== 'linux') return results.note('memory: skipped, requires Linux.');
  const supply = bodies.supply('memory', () =>
    adds(bodies.corpus('wide'), RECORDS_PER_CALL, bodies.numbering('wide')),
  );
  const before = resetPeak(pid);
  for (let sent = 0; sent < settings.memoryBytes;) {
    const collection = await server.recreateCollection('bench_memory', []);
    const calls = Math.ceil(BYTES_PER_COLLECTION / supply.next().length);
    const outcome = await runClosed({
      address: server.address,
      clients: LOADERS,
      nextCall: () => {
        const call = collection.call('add', supply);
        sent += call.body.length;
        return call;
      },
      warmUpMs: 0,
      durationMs: NO_LIMIT_MS,
      callsMax: calls,
    });
    results.addRound('memory', target.name, outcome);
    results.addMore('memory', target.name, { 'peak RSS, MiB': peakRSS(pid) });
    if (outcome.failures.size > 0) break;
    await server.settle();
  }
  results.addMore('memory', target.name, { 'peak RSS, MiB': peakRSS(pid), 'RSS before, MiB': before });
}

/** Resets the kernel's peak RSS counter; returns the current RSS in MiB. */
function resetPeak(pid: number): number {
  writeFileSync(`/proc/${pid}/clear_refs`, '5');
  return peakRSS(pid);
}

function peakRSS(pid: number): number {
  const found = /VmHWM:\s*(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  return (Number(found?.[1] ?? Number.NaN) * 1024) / MIB;
}
