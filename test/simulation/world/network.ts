// Messages between clients, gateways, PostgreSQL and nodes: they take time, and a link can be cut in one direction or both.
// A message on a cut link is delivered when the link is whole again, as TCP repeats it, unless its connection has ended.

import type { Schedule, SimulatedProcess } from './schedule.ts';

interface HeldMessage {
  readonly process: SimulatedProcess | null;
  readonly deliver: () => void;
}

export class Network {
  readonly #schedule: Schedule;
  readonly #random: () => number;
  /** Messages that wait for a cut link, by "from>to". */
  readonly #cut = new Map<string, HeldMessage[]>();
  readonly #slowMs = new Map<string, number>();

  constructor(schedule: Schedule, random: () => number) {
    this.#schedule = schedule;
    this.#random = random;
  }

  isCut(from: string, to: string): boolean {
    return this.#cut.has(`${from}>${to}`);
  }

  /** Delivers a message to `process`, or to what has no process of its own. */
  send(from: string, to: string, deliver: () => void, process: SimulatedProcess | null = null): void {
    const held = this.#cut.get(`${from}>${to}`);
    if (held === undefined) this.#deliver({ process, deliver }, this.#slowMs.get(`${from}>${to}`) ?? 0);
    else held.push({ process, deliver });
  }

  /** Runs `task` after so long, whatever the state of links. */
  later(delayMs: number, task: () => void): void {
    this.#schedule.after(delayMs, task);
  }

  cut(from: string, to: string): void {
    if (!this.isCut(from, to)) this.#cut.set(`${from}>${to}`, []);
  }

  slow(from: string, to: string, ms: number): void {
    this.#slowMs.set(`${from}>${to}`, ms);
  }

  /** Makes a link whole and fast again. */
  heal(from: string, to: string): void {
    const link = `${from}>${to}`;
    const held = this.#cut.get(link) ?? [];
    this.#cut.delete(link);
    this.#slowMs.delete(link);
    for (const message of held) this.#deliver(message, 0);
  }

  healAll(): void {
    for (const link of [...this.#cut.keys(), ...this.#slowMs.keys()]) {
      const [from = '', to = ''] = link.split('>');
      this.heal(from, to);
    }
  }

  #deliver({ process, deliver }: HeldMessage, slowMs: number): void {
    // A tenth of a millisecond in a data centre; one message in a hundred waits for a retransmission.
    const isLate = this.#random() < 0.01;
    const delayMs = 0.1 + this.#random() * (isLate ? 40 : 1) + slowMs;
    this.#schedule.after(delayMs, deliver, process);
  }
}
