// The one queue of events that drives a simulated cluster. Virtual time jumps from event to event; events of one moment run
// in the order in which they were scheduled. So a seed determines a run.

import type { Clock } from '../../../src/util/clock.ts';

interface ScheduledEvent {
  readonly atMs: number;
  readonly order: number;
  readonly process: SimulatedProcess | null;
  task: (() => void) | null;
}

const isBefore = (a: ScheduledEvent, b: ScheduledEvent): boolean =>
  a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);

/** Resolves when every promise and immediate that is ready has run. */
async function settle(): Promise<void> {
  // Twice: what runs in the first round may begin with an immediate of its own (src/log/appender.ts).
  await new Promise(setImmediate);
  await new Promise(setImmediate);
}

export class Schedule {
  /** A binary heap. */
  readonly #events: ScheduledEvent[] = [];
  #nowMs = 0;
  #order = 0;

  /** Virtual time since the start, ms. */
  get nowMs(): number {
    return this.#nowMs;
  }

  /** Events that have run or were dropped, a measure of work. */
  events = 0;

  /** Runs `task` after `delayMs`, when `process` runs; returns what cancels it. */
  after(delayMs: number, task: () => void, process: SimulatedProcess | null = null): () => void {
    const atMs = this.#nowMs + Math.max(0, delayMs);
    const event: ScheduledEvent = { atMs, order: this.#order++, process, task };
    this.#push(event);
    return () => (event.task = null);
  }

  /** Runs events until `untilMs`, or until `isDone` after one of them. */
  async run(untilMs: number, isDone: () => boolean = () => false): Promise<void> {
    await settle();
    for (;;) {
      const [next] = this.#events;
      if (next === undefined || next.atMs > untilMs) break;
      this.#pop();
      this.#nowMs = next.atMs;
      if (next.task === null || next.process?.isKilled === true) continue;
      const frozenMs = (next.process?.frozenUntilMs ?? 0) - this.#nowMs;
      if (frozenMs > 0) {
        // Timers and messages of a frozen process are handled once it runs again.
        this.#push({ ...next, atMs: this.#nowMs + frozenMs, order: this.#order++ });
        continue;
      }
      this.events += 1;
      next.task();
      await settle();
      if (isDone()) return;
    }
    this.#nowMs = Math.max(this.#nowMs, untilMs);
  }

  #push(event: ScheduledEvent): void {
    const heap = this.#events;
    let at = heap.push(event) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!isBefore(event, heap[parent]!)) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = event;
  }

  #pop(): void {
    const heap = this.#events;
    const last = heap.pop()!;
    if (heap.length === 0) return;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child += 1;
      if (!isBefore(heap[child]!, last)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = last;
  }
}

/** Wall clock at the start of every run, ms since the epoch. */
const EPOCH_MS = 1_700_000_000_000;

/** A process with a clock of its own: it can be frozen, as by SIGSTOP, and killed. */
export class SimulatedProcess implements Clock {
  readonly name: string;
  readonly #schedule: Schedule;
  /** How fast its clock runs. */
  readonly #rate: number;
  /** Called when it is killed. */
  readonly onKilled = new Set<() => void>();
  #isKilled = false;
  #frozenUntilMs = 0;

  constructor(schedule: Schedule, name: string, rate = 1) {
    this.name = name;
    this.#schedule = schedule;
    this.#rate = rate;
  }

  get isKilled(): boolean {
    return this.#isKilled;
  }

  get frozenUntilMs(): number {
    return this.#frozenUntilMs;
  }

  now(): number {
    return EPOCH_MS + Math.floor(this.monotonic());
  }

  monotonic(): number {
    return this.#schedule.nowMs * this.#rate;
  }

  after(delayMs: number, task: () => void): () => void {
    return this.#schedule.after(delayMs / this.#rate, task, this);
  }

  /** Hands the process something that arrives from outside. */
  receive(delayMs: number, task: () => void): void {
    this.#schedule.after(delayMs, task, this);
  }

  freeze(forMs: number): void {
    this.#frozenUntilMs = Math.max(this.#frozenUntilMs, this.#schedule.nowMs + forMs);
  }

  /** Nothing of it runs any more, and its connections end. */
  kill(): void {
    this.#isKilled = true;
    for (const end of this.onKilled) end();
  }
}
