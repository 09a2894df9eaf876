// What explains that a node does not respond to probes.

import type { NodeWork } from '../nodes/node.ts';
import type { ReadsInFlight } from '../nodes/reads-in-flight.ts';
import type { Workload } from '../replication/workload.ts';

interface WorkParts {
  /** Calls of the log. */
  readonly workload: Workload;
  /** Calls of rebuilds. */
  readonly copying: Workload;
  readonly readsInFlight: ReadsInFlight;
}

/** What may keep a node from responding: calls of the log and of rebuilds, of another leader too, and large reads. */
export function nodeWork(
  { workload, copying, readsInFlight }: WorkParts,
  isRecordedBusy: () => boolean,
): NodeWork {
  const explaining = [workload, copying, readsInFlight];
  return {
    get explainsSilence() {
      // Another call does not explain that a call of the log is beyond its bound.
      const isExplained = !workload.isOverdueBy(0) && explaining.some((each) => each.explainsSilence);
      return isExplained || isRecordedBusy();
    },
    explainsSilenceSince: (sinceMs) => explaining.some((each) => each.explainsSilenceSince(sinceMs)),
    get isLong() {
      return workload.isLong || isRecordedBusy();
    },
    isOverdueBy: (ms) => !readsInFlight.explainsSilence && workload.isOverdueBy(ms),
  };
}
