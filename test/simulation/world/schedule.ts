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

/** Turns of the event loop between two events; more of them are a loop without a timer. */
const TURNS_MAX = 10_000;

/**
 * Runs promises and immediates without the event loop of Node, whose turns cost more than most events. While it is in
 * use nothing else may run, so immediates of this process are its own.
 */
class Turns {
  readonly #native = globalThis.setImmediate;
  #immediates: (() => void)[] = [];

  /** Calls `run` on a stack of its own, outside of promises, with immediates handled here. */
  use(run: () => void): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#native(() => {
        const later = (task: (...values: unknown[]) => void, ...values: unknown[]): void =>
          void this.#immediates.push(() => task(...values));
        globalThis.setImmediate = later as unknown as typeof setImmediate;
        try {
          run();
          resolve();
        } catch (error) {
          reject(error);
        } finally {
          globalThis.setImmediate = this.#native;
        }
      });
    });
  }

  /** Returns when every promise and immediate that is ready has run. */
  settle(): void {
    runPromises();
    for (let turns = 0; this.#immediates.length > 0; turns++) {
      if (turns > TURNS_MAX) throw new Error('immediates follow each other without end');
      const ready = this.#immediates;
      this.#immediates = [];
      for (const task of ready) {
        task();
        runPromises();
      }
    }
  }
}

/** What Node runs after each callback: process.nextTick, and the reactions of promises that are settled. */
const { _tickCallback: runPromises } = process as unknown as { readonly _tickCallback: () => void };

export class Schedule {
  /** A binary heap. */
  readonly #events: ScheduledEvent[] = [];
  readonly #turns = new Turns();
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
  run(untilMs: number, isDone: () => boolean = () => false): Promise<void> {
    return this.#turns.use(() => this.#run(untilMs, isDone));
  }

  #run(untilMs: number, isDone: () => boolean): void {
    this.#turns.settle();
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
      this.#turns.settle();
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
