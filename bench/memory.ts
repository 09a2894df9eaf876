// The gateway's memory under a bulk load that never lets up: the largest resident set the kernel saw.

import { readFileSync, writeFileSync } from 'node:fs';
import type { ClosedRun } from './closed.ts';
import { runClosed } from './load.ts';
import { adds } from './supply.ts';
import type { Target } from './targets.ts';

const PER_CALL = 1_000;
const LOADERS = 4;
/** A server writes its whole index again every thousand records: in few large collections it would do nothing else. */
const BYTES_PER_COLLECTION = 100_000_000;
const MIB = 1024 * 1024;
const NO_LIMIT_MS = 3_600_000;

export async function measureMemory(target: Target, run: ClosedRun): Promise<void> {
  const { settings, bodies, results } = run;
  const { server } = target;
  const pid = server.gatewayPid;
  if (pid === undefined) return;
  if (process.platform !== 'linux') return results.note('memory: measured on Linux only.');
  const supply = bodies.supply('memory', () => adds(bodies.wide, PER_CALL, bodies.numbering));
  const before = forgetPeak(pid);
  for (let sent = 0; sent < settings.memoryBytes;) {
    const collection = await server.freshCollection('bench_memory', []);
    const calls = Math.ceil(BYTES_PER_COLLECTION / supply.next().length);
    const outcome = await runClosed({
      address: server.address,
      clients: LOADERS,
      feed: () => {
        const call = collection.call('add', supply);
        sent += call.body.length;
        return call;
      },
      warmUpMs: 0,
      durationMs: NO_LIMIT_MS,
      callsMax: calls,
    });
    results.addRound('memory', target.name, outcome);
    results.addMore('memory', target.name, { 'largest RSS, MiB': peak(pid) });
    if (outcome.failures.size > 0) break;
    await server.settle();
  }
  results.addMore('memory', target.name, { 'largest RSS, MiB': peak(pid), 'RSS before, MiB': before });
  bodies.forget();
}

/** Starts the kernel's record of the largest resident set anew; returns the present one, MiB. */
function forgetPeak(pid: number): number {
  writeFileSync(`/proc/${pid}/clear_refs`, '5');
  return peak(pid);
}

function peak(pid: number): number {
  const found = /VmHWM:\s*(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  return (Number(found?.[1] ?? Number.NaN) * 1024) / MIB;
}
