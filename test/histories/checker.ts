// Decides whether a history can be right, record by record:
// - strong reads and writes are linearizable: one order explains them, in which an indeterminate write takes effect at
//   most once, at any moment after it was sent;
// - session reads see every write that their gateway acknowledged before they began;
// - a client that echoes the newest LSN never sees anything older than it has seen;
// - nothing is seen that was refused, or that no client has written.

import type { Effect, History, Observed } from './history.ts';

/** What is wrong with a history, one sentence each; [] when it can be right. */
export function faultsOf(history: History): string[] {
  const byRecord = Map.groupBy(history, ({ record }) => record);
  return [...byRecord].flatMap(([record, operations]) =>
    faultsOfRecord(operations).map((fault) => `record ${record}: ${fault}`),
  );
}

function faultsOfRecord(operations: readonly Observed[]): string[] {
  const sorted = operations.toSorted((a, b) => a.invokedAt - b.invokedAt);
  const writes = sorted.filter(isWrite);
  const reads = sorted.filter(isSuccessfulRead);
  return [
    ...invented(writes, reads),
    ...reads.flatMap((read) => staleSession(writes, read) ?? []),
    ...steppedBack(writes, reads),
    ...orderFault(sorted),
  ];
}

type Read = Observed & { readonly effect: Extract<Effect, { does: 'read' }>; readonly returnedAt: number };

const isWrite = ({ effect }: Observed): boolean => effect.does !== 'read';
const isSuccessfulRead = (operation: Observed): operation is Read =>
  operation.effect.does === 'read' && operation.outcome === 'ok' && operation.returnedAt !== null;

/** When the response came; an operation without a confirmation may still take effect at any time. */
const endOf = ({ returnedAt, outcome }: Observed): number =>
  outcome === 'ok' && returnedAt !== null ? returnedAt : Infinity;

const writes = ({ effect }: Observed, value: number): boolean => 'value' in effect && effect.value === value;
const mayDelete = ({ effect }: Observed, value: number): boolean =>
  effect.does === 'delete' || (effect.does === 'delete_if' && effect.matches(value));

/** Values that were refused, not written before the read ended, or not written at all. */
function invented(all: readonly Observed[], reads: readonly Read[]): string[] {
  return reads.flatMap(({ effect: { saw }, client, returnedAt }) => {
    if (saw === null) return [];
    const writer = all.find((write) => writes(write, saw));
    if (writer === undefined) return [`${client} saw ${saw}, which no client wrote`];
    if (writer.outcome === 'refused') return [`${client} saw ${saw}, which was refused`];
    return writer.invokedAt >= returnedAt ? [`${client} saw ${saw} before it was written`] : [];
  });
}

/** Whether seeing `saw` in an interval proves that `newer`, a confirmed write, was not seen. */
function isOlderThan(
  all: readonly Observed[],
  saw: number | null,
  newer: Observed,
  untilAt: number,
): boolean {
  const { effect } = newer;
  if (saw === null) {
    if (effect.does !== 'set') return false;
    const follows = (other: Observed): boolean =>
      other !== newer &&
      other.outcome !== 'refused' &&
      endOf(other) > newer.invokedAt &&
      other.invokedAt < untilAt;
    // A delete that may come after the write, of its value or of one that may have replaced it, explains it.
    const later = all.filter(follows);
    const values = [newer, ...later].flatMap((each) => ('value' in each.effect ? [each.effect.value] : []));
    return !later.some((other) => values.some((value) => mayDelete(other, value)));
  }
  const writer = all.find((write) => writes(write, saw));
  const overwrites = effect.does === 'set' || mayDelete(newer, saw);
  return writer !== undefined && writer !== newer && overwrites && endOf(writer) < newer.invokedAt;
}

/** A session read that lacks a write which its gateway had acknowledged; null when it lacks none. */
function staleSession(all: readonly Observed[], read: Read): string | null {
  const { guarantee, gateway, client, invokedAt, returnedAt, effect } = read;
  if (guarantee === 'eventual') return null;
  const acknowledged = all.filter(
    (write) =>
      write.outcome === 'ok' &&
      endOf(write) < invokedAt &&
      (guarantee === 'strong' || write.gateway === gateway || (write.client === client && read.echoes)),
  );
  const missed = acknowledged.find((write) => isOlderThan(all, effect.saw, write, returnedAt));
  if (missed === undefined) return null;
  return `${client} saw ${effect.saw} through ${gateway}, which had acknowledged ${shownEffect(missed.effect)} before`;
}

/** A client that echoes LSNs and saw something older than before. */
function steppedBack(all: readonly Observed[], reads: readonly Read[]): string[] {
  const faults: string[] = [];
  for (const [client, own] of Map.groupBy(reads, (read) => read.client)) {
    const echoing = own.filter((read) => read.echoes && read.guarantee !== 'eventual');
    for (const [i, later] of echoing.entries()) {
      const earlier = echoing[i - 1];
      const saw = earlier?.effect.saw ?? null;
      if (earlier === undefined || saw === null || earlier.returnedAt > later.invokedAt) continue;
      const writer = all.find((write) => writes(write, saw));
      // Seen, so it took effect: as good as confirmed when it was seen.
      if (writer === undefined) continue;
      const seen = {
        ...writer,
        outcome: 'ok',
        returnedAt: Math.min(endOf(writer), earlier.returnedAt),
      } as const;
      const others = all.map((write) => (write === writer ? seen : write));
      if (later.effect.saw !== saw && isOlderThan(others, later.effect.saw, seen, later.returnedAt))
        faults.push(`${client} saw ${saw}, then the older ${later.effect.saw}`);
    }
  }
  return faults;
}

// Histories of a run need some hundred steps for each record; many indeterminate writes at one moment could need any number.
const STEPS_MAX = 200_000;

/** Whether some order of strong reads and writes explains every response (Wing and Gong, with a memory of states). */
function orderFault(operations: readonly Observed[]): string[] {
  const relevant = operations.filter(
    (operation) =>
      operation.outcome !== 'refused' &&
      (operation.effect.does !== 'read' || (operation.guarantee === 'strong' && isSuccessfulRead(operation))),
  );
  const search = new OrderSearch(
    relevant.filter(({ outcome }) => outcome === 'ok'),
    relevant.filter(({ outcome, effect }) => outcome !== 'ok' && mayMatter(relevant, effect)),
  );
  if (!search.succeeds()) return ['strong reads and writes have no order that explains them'];
  return search.steps > STEPS_MAX
    ? [`not decided within ${STEPS_MAX} steps: too many indeterminate writes`]
    : [];
}

/** An indeterminate write that sets a value no read saw changes no explanation, unless others depend on what exists. */
function mayMatter(all: readonly Observed[], effect: Effect): boolean {
  if (effect.does !== 'set') return true;
  return all.some(
    ({ effect: other }) =>
      other.does === 'add' ||
      other.does === 'update' ||
      (other.does === 'delete_if' && other.matches(effect.value)) ||
      (other.does === 'read' && other.saw === effect.value),
  );
}

class OrderSearch {
  readonly #required: readonly Observed[];
  readonly #optional: readonly Observed[];
  readonly #isDone: Readonly<Record<'required' | 'optional', boolean[]>>;
  readonly #seen = new Set<string>();
  steps = 0;

  /** `required`: took effect before their responses; `optional`: at any time after they were sent, or never. */
  constructor(required: readonly Observed[], optional: readonly Observed[]) {
    this.#required = required;
    this.#optional = optional;
    this.#isDone = { required: required.map(() => false), optional: optional.map(() => false) };
  }

  succeeds(): boolean {
    return this.#from(0, null);
  }

  /** Whether an order of what is not done yet explains it. Every required operation before `first` is done. */
  #from(first: number, state: number | null): boolean {
    let open = first;
    while (this.#isDone.required[open] === true) open += 1;
    if (open === this.#required.length || ++this.steps > STEPS_MAX) return true;
    const key = this.#key(open, state);
    if (this.#seen.has(key)) return false;
    this.#seen.add(key);
    // Nothing may be ordered before an operation that had ended when it began.
    const earliestEnd = this.#earliestEnd(open);
    return (
      this.#tries('required', open, { earliestEnd, open, state }) ||
      this.#tries('optional', 0, { earliestEnd, open, state })
    );
  }

  #tries(
    kind: 'required' | 'optional',
    from: number,
    at: { readonly earliestEnd: number; readonly open: number; readonly state: number | null },
  ): boolean {
    const operations = kind === 'required' ? this.#required : this.#optional;
    const isDone = this.#isDone[kind];
    for (let i = from; i < operations.length && operations[i]!.invokedAt <= at.earliestEnd; i++) {
      const next = isDone[i] === true ? undefined : after(at.state, operations[i]!.effect);
      // Without an effect, an optional operation may as well not have happened yet.
      if (next === undefined || (kind === 'optional' && next === at.state)) continue;
      isDone[i] = true;
      if (this.#from(at.open, next)) return true;
      isDone[i] = false;
    }
    return false;
  }

  #earliestEnd(open: number): number {
    let earliest = Infinity;
    for (let i = open; i < this.#required.length && this.#required[i]!.invokedAt <= earliest; i++)
      if (this.#isDone.required[i] === false) earliest = Math.min(earliest, endOf(this.#required[i]!));
    return earliest;
  }

  #key(open: number, state: number | null): string {
    const done = (kind: 'required' | 'optional', from: number): string =>
      this.#isDone[kind].flatMap((is, i) => (is && i >= from ? [i] : [])).join();
    return `${open};${done('required', open)};${done('optional', 0)};${state}`;
  }
}

/** The state after an operation; undefined when a read cannot have seen what it saw. */
function after(state: number | null, effect: Effect): number | null | undefined {
  switch (effect.does) {
    case 'set':
      return effect.value;
    case 'add':
      return state ?? effect.value;
    case 'update':
      return state === null ? null : effect.value;
    case 'delete':
      return null;
    case 'delete_if':
      return state !== null && effect.matches(state) ? null : state;
    case 'read':
      return effect.saw === state ? state : undefined;
  }
}

function shownEffect(effect: Effect): string {
  return 'value' in effect ? `${effect.does} ${effect.value}` : effect.does;
}
