// What a drill must show, as checks of its history. Pure: each is proved on fabricated histories in checks.test.ts.

import type { History, SentWrite } from './history.ts';
import { type Ledger, ledgerKey } from './node-files.ts';

export interface Limits {
  readonly rssMaxBytes: number;
  /** How soon after the load another collection must take a write. */
  readonly flowMsMax: number;
  /** How often another node may become primary, beside once for each node with a broken collection. */
  readonly primaryChangesMax: number;
  /** Collections that a node cannot serve because the scenario broke them there, by node. */
  readonly broken: ReadonlyMap<string, ReadonlySet<string>>;
  /** How often a node with a broken collection may get the same call. */
  readonly attemptsMax: number;
}

export const LIMITS: Limits = {
  rssMaxBytes: 600 * 2 ** 20,
  flowMsMax: 60_000,
  primaryChangesMax: 0,
  broken: new Map(),
  attemptsMax: 5,
};

export interface Check {
  readonly name: string;
  /** What is wrong; [] when nothing is. */
  readonly faults: (history: History, limits: Limits) => readonly string[];
}

const isBroken = (limits: Limits, node: string, collection: string): boolean =>
  limits.broken.get(node)?.has(collection) ?? false;

/** How often each (operation, id) of one collection must, and may, stand in a ledger. */
class Due {
  readonly least = new Map<string, number>();
  readonly most = new Map<string, number>();

  note({ operation, ids, outcome, expected }: SentWrite, mustApply: boolean): void {
    const certain = outcome === 'applied' || (outcome === 'pending' && (mustApply || expected === 'applied'));
    const possible = outcome !== 'refused';
    for (const id of ids) {
      const key = ledgerKey(operation, id);
      this.least.set(key, (this.least.get(key) ?? 0) + Number(certain));
      this.most.set(key, (this.most.get(key) ?? 0) + Number(possible));
    }
  }
}

function dueByCollection(history: History): Map<string, Due> {
  const all = new Map<string, Due>();
  const note = (write: SentWrite, mustApply: boolean): void => {
    const due = all.get(write.collection) ?? new Due();
    all.set(write.collection, due);
    due.note(write, mustApply);
  };
  for (const write of history.load) note(write, false);
  for (const write of history.otherWrites) note(write, true);
  return all;
}

/** A few of many: a load of 30,000 ids fails as one. */
function sample(faults: readonly string[]): string {
  const more = faults.length - SHOWN_MAX;
  return faults.slice(0, SHOWN_MAX).join('; ') + (more > 0 ? `; and ${more} more` : '');
}
const SHOWN_MAX = 3;

interface LedgerCase {
  readonly node: string;
  readonly collection: string;
  readonly ledger: Ledger;
  readonly due: Due;
  readonly limits: Limits;
}

function ledgerFaults({ node, collection, ledger, due, limits }: LedgerCase): string[] {
  const counts = ledger.get(collection) ?? new Map<string, number>();
  const broken = isBroken(limits, node, collection);
  const found: string[] = [];
  for (const [key, most] of due.most) {
    const count = counts.get(key) ?? 0;
    const least = broken ? 0 : (due.least.get(key) ?? 0);
    if (count < least) found.push(`${key} taken ${count} times instead of ${least}`);
    if (count > (broken ? most * limits.attemptsMax : most))
      found.push(`${key} taken ${count} times instead of ${most}`);
  }
  for (const key of counts.keys()) if (!due.most.has(key)) found.push(`${key} was never sent`);
  return found;
}

/** Outcomes that no response settles must be the same on every healthy node. */
function splitFaults(history: History, collection: string, limits: Limits): string[] {
  const healthy = [...history.ledgers].filter(([node]) => !isBroken(limits, node, collection));
  const [first, ...others] = healthy.map(
    ([node, ledger]) => [node, ledger.get(collection) ?? new Map<string, number>()] as const,
  );
  if (first === undefined) return [];
  return others.flatMap(([node, counts]) => {
    const keys = new Set([...first[1].keys(), ...counts.keys()]);
    const differing = [...keys].filter((key) => counts.get(key) !== first[1].get(key));
    return differing.length === 0
      ? []
      : [`${collection}: ${first[0]} and ${node} took different operations: ${sample(differing)}`];
  });
}

function appliedOnceFaults(history: History, limits: Limits): string[] {
  const found: string[] = [];
  for (const [collection, due] of dueByCollection(history)) {
    for (const [node, ledger] of history.ledgers) {
      const wrong = ledgerFaults({ node, collection, ledger, due, limits });
      if (wrong.length > 0) found.push(`${collection} on ${node}: ${sample(wrong)}`);
    }
    found.push(...splitFaults(history, collection, limits));
  }
  return found;
}

/** A write is applied as a whole or not at all, whatever its response was. */
function wholeFaults(history: History, limits: Limits): string[] {
  const found: string[] = [];
  for (const { collection, operation, ids, response } of history.load) {
    for (const [node, ledger] of history.ledgers) {
      if (isBroken(limits, node, collection)) continue;
      const counts = ledger.get(collection);
      const taken = ids.filter((id) => (counts?.get(ledgerKey(operation, id)) ?? 0) > 0).length;
      if (taken > 0 && taken < ids.length)
        found.push(
          `${collection} on ${node}: ${taken} of ${ids.length} records of ${operation} (${response})`,
        );
    }
  }
  return found;
}

function responseFaults({ load, loadReads }: History): string[] {
  const wrong = load.filter(({ expected, outcome }) => {
    if (outcome === 'unknown') return true;
    if (expected === 'applied') return outcome === 'refused';
    return expected === 'refused' && outcome !== 'refused';
  });
  return [
    ...wrong.map(
      ({ collection, operation, response, expected }) =>
        `${operation} of ${collection} got ${response}; expected: ${expected}`,
    ),
    ...loadReads.flatMap(({ what, fault }) => (fault === null ? [] : [`${what}: ${fault}`])),
  ];
}

function readFaults({ otherReads }: History): string[] {
  const failed = otherReads.flatMap(({ what, fault }) => (fault === null ? [] : [`${what}: ${fault}`]));
  if (otherReads.length === 0) return ['no read was sent'];
  return failed.length === 0 ? [] : [`${failed.length} of ${otherReads.length} failed: ${sample(failed)}`];
}

function otherWriteFaults({ otherWrites }: History): string[] {
  if (otherWrites.length === 0) return ['no write was sent'];
  const failed = otherWrites.filter(({ outcome }) => outcome === 'refused' || outcome === 'unknown');
  return failed.length === 0
    ? []
    : [`${failed.length} of ${otherWrites.length} failed: ${sample(failed.map(({ response }) => response))}`];
}

const HEALTHY_STATES = new Set(['serving', 'busy', 'catching_up']);

function stateFaults({ samples }: History): string[] {
  if (samples.length === 0) return ['/status was never answered'];
  const found = new Set<string>();
  const pids = new Map<string, number>();
  for (const { node, state, reason, pid } of samples.flatMap(({ nodes }) => nodes)) {
    if (!HEALTHY_STATES.has(state)) found.add(`${node} was ${state} (${reason ?? 'no reason'})`);
    if (pid === null) continue;
    const before = pids.get(node);
    if (before !== undefined && before !== pid) found.add(`the process of ${node} was replaced`);
    pids.set(node, pid);
  }
  return [...found];
}

/** How often a value changed, unknown values left out. */
function changes(values: readonly (string | number | null)[]): number {
  const known = values.filter((value) => value !== null);
  return known.filter((value, index) => index > 0 && value !== known[index - 1]).length;
}

function leadershipFaults({ samples }: History, limits: Limits): string[] {
  // Each node with a broken collection may have to give the role away.
  const primaryChangesMax = limits.primaryChangesMax + limits.broken.size;
  const primaries = changes(samples.map(({ primary }) => primary));
  const epochs = changes(samples.map(({ epoch }) => epoch));
  return [
    ...(primaries > primaryChangesMax ? [`the primary changed ${primaries} times`] : []),
    ...(epochs > 0 ? [`the lease was lost ${epochs} times`] : []),
  ];
}

function endingFaults({ ending }: History): string[] {
  const behind = [...ending.checkpoints].filter(([, checkpoint]) => checkpoint !== ending.head);
  const away = [...ending.states].filter(([, state]) => state !== 'serving');
  return [
    ...behind.map(([node, checkpoint]) => `${node} is at ${checkpoint}, the head is ${ending.head}`),
    ...away.map(([node, state]) => `${node} is ${state} at the end`),
    ...[...ending.unreadable].map(([node, why]) => `${node} could not be inspected: ${why}`),
  ];
}

function contentFaults({ contents, ending }: History, limits: Limits): string[] {
  const names = new Set([...contents.values()].flatMap((byCollection) => [...byCollection.keys()]));
  const found: string[] = [];
  if (names.size === 0) found.push('no node holds a collection of this drill');
  for (const [node, suspects] of ending.suspects)
    for (const name of suspects)
      if (!isBroken(limits, node, name)) found.push(`${name} is suspect on ${node}`);
  for (const name of names) {
    const healthy = [...contents].filter(([node]) => !isBroken(limits, node, name));
    const texts = healthy.map(([, byCollection]) => JSON.stringify(byCollection.get(name) ?? null));
    if (new Set(texts).size > 1)
      found.push(`${name} differs: ${healthy.map(([node], at) => `${node} ${texts[at]}`).join(', ')}`);
  }
  for (const [node, broken] of limits.broken)
    for (const name of broken)
      if (ending.suspects.get(node)?.has(name) !== true)
        found.push(`${name} is broken on ${node}, but not suspect there`);
  return found;
}

const mebibytes = (bytes: number): number => Math.round(bytes / 2 ** 20);

export const CHECKS: readonly Check[] = [
  { name: 'responses are as expected', faults: responseFaults },
  { name: 'applied exactly once on every node, or refused everywhere', faults: appliedOnceFaults },
  { name: 'no entry applied in part', faults: wholeFaults },
  { name: 'no read failed', faults: readFaults },
  { name: 'other writes succeeded or are durable', faults: otherWriteFaults },
  { name: 'no node went down without cause', faults: stateFaults },
  { name: 'primary and lease stayed', faults: leadershipFaults },
  { name: 'every node ended at the head, serving', faults: endingFaults },
  { name: 'every node holds the same', faults: contentFaults },
  {
    name: 'later writes flow in time',
    faults: ({ flowMs }, { flowMsMax }) => {
      if (flowMs === null) return ['no later write was acknowledged'];
      return flowMs <= flowMsMax ? [] : [`after ${Math.round(flowMs)} ms`];
    },
  },
  {
    name: 'gateway memory within its limit',
    faults: ({ rssMaxBytes }, limits) =>
      rssMaxBytes !== null && rssMaxBytes > limits.rssMaxBytes ? [`${mebibytes(rssMaxBytes)} MiB`] : [],
  },
];

export interface Finding {
  readonly check: string;
  readonly faults: readonly string[];
}

export function findings(history: History, limits: Limits): readonly Finding[] {
  return CHECKS.map(({ name, faults }) => ({ check: name, faults: faults(history, limits) }));
}

/** Every fault, one line each. */
export function faultsOf(history: History, limits: Limits): readonly string[] {
  return findings(history, limits).flatMap(({ check, faults }) =>
    faults.map((fault) => `${check}: ${fault}`),
  );
}

/** Measured maxima, for people. */
export function measured({ otherReads, otherWrites, load, samples, rssMaxBytes, flowMs }: History): string {
  const slowest = (list: readonly { readonly tookMs: number }[]): number =>
    Math.round(list.reduce((max, { tookMs }) => Math.max(max, tookMs), 0));
  const states = new Set(samples.flatMap(({ nodes }) => nodes.map(({ state }) => state)));
  return [
    `reads ${otherReads.length}, slowest ${slowest(otherReads)} ms`,
    `other writes ${otherWrites.length}, slowest ${slowest(otherWrites)} ms`,
    `load ${load.length} writes, slowest ${slowest(load)} ms`,
    `states ${[...states].join('/')}`,
    `RSS ${rssMaxBytes === null ? 'unknown' : `${mebibytes(rssMaxBytes)} MiB`}`,
    `flow after ${flowMs === null ? 'never' : `${Math.round(flowMs)} ms`}`,
  ].join('; ');
}
