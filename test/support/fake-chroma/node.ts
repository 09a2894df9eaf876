// The address of a fake Chroma server: everything that can go wrong between Polychrome and a node, when and as a test
// says, in the errors of the real client. Nothing here moves by itself: what takes time takes the injected clock's,
// and what is left to chance a seed can choose (`choose`).

import type { NodeClient } from '../../../src/chroma/client/node-client.ts';
import { NodeError } from '../../../src/chroma/client/node-error.ts';
import type { Clock } from '../../../src/util/clock.ts';
import { FakeNodeClient, type FakeClientOptions, type Flight } from './client.ts';
import type { Answer } from './payload.ts';
import { serve } from './routes.ts';
import type { FakeChroma } from './server.ts';

/**
 * What becomes of one call.
 * - `drop_before`: its connection ends, and it is never executed.
 * - `drop_after`: it is executed, and its connection ends before the answer.
 * - `late`: its connection ends, and it is executed when the test says so: runLate().
 * - `hang`: no answer while its connection lives, until release(). Ended by cut(), it is late; by kill(), gone.
 * - `slowMs`: executed and answered after so much time.
 * - `answer`: this, instead of its own; `executed` or not.
 */
export type Fault =
  | 'drop_before'
  | 'drop_after'
  | 'late'
  | 'hang'
  | { readonly slowMs: number }
  | { readonly answer: Answer; readonly executed: boolean };

export interface FakeCall {
  readonly method: string;
  readonly path: string;
  readonly body: string;
  /** Sent as one that changes something. */
  readonly mutates: boolean;
}

export class FakeNode {
  readonly clock: Clock;
  /** Decides on each call that no planned fault meets. */
  choose: (call: FakeCall) => Fault | null = () => null;
  /** Every call that was executed, in order, the late ones included. */
  readonly executed: FakeCall[] = [];
  #server: FakeChroma;
  #up = true;
  /** Raised whenever all connections end. */
  #generation = 0;
  readonly #planned: { matches: (call: FakeCall) => boolean; fault: Fault; times: number }[] = [];
  readonly #clients = new Set<FakeNodeClient>();
  readonly #flights = new Set<Flight>();
  #late: FakeCall[] = [];

  constructor(options: { clock: Clock; server: FakeChroma }) {
    this.clock = options.clock;
    this.#server = options.server;
  }

  get server(): FakeChroma {
    return this.#server;
  }

  get up(): boolean {
    return this.#up;
  }

  get generation(): number {
    return this.#generation;
  }

  /** Calls executed only when the test says so. */
  get lateCalls(): number {
    return this.#late.length;
  }

  /** Calls without an answer whose connections live. */
  get hanging(): number {
    return this.#flights.size;
  }

  client(options: FakeClientOptions = {}): NodeClient {
    const client = new FakeNodeClient(this, options);
    this.#clients.add(client);
    return client;
  }

  /** The next `times` calls that match fare so. */
  plan(matches: (call: FakeCall) => boolean, fault: Fault, times = 1): void {
    this.#planned.push({ matches, fault, times });
  }

  /** Executes what came late, in the order it was sent; returns what nobody will hear. */
  runLate(): Answer[] {
    const calls = this.#late;
    this.#late = [];
    return calls.map((call) => this.execute(call));
  }

  /** Answers what hangs. */
  release(): void {
    for (const flight of this.#flights) this.#complete(flight);
  }

  /** All connections end; the process lives, and may execute late what it had been sent. */
  cut(client?: NodeClient): void {
    if (client === undefined) this.#generation++;
    for (const flight of this.#flights) {
      if (client !== undefined && flight.client !== client) continue;
      if (flight.call.mutates) this.#late.push(flight.call);
      this.#fail(flight);
    }
    for (const each of this.#clients) if (client === undefined || each === client) each.connectionEnded();
  }

  /** The process is gone, with everything it had been sent and not executed; connections are refused. */
  kill(): void {
    this.#up = false;
    this.#generation++;
    this.#late = [];
    for (const flight of this.#flights) this.#fail(flight);
    for (const client of this.#clients) client.connectionEnded();
  }

  /** A new process, on what is stored, or on what another server has: an older copy, nothing, another node. */
  start(server: FakeChroma = this.#server): void {
    if (this.#up) this.kill();
    this.#server = server;
    this.#server.restart();
    this.#up = true;
  }

  execute(call: FakeCall): Answer {
    this.executed.push(call);
    return serve(this.#server, call.method, call.path, call.body);
  }

  /** What the server would answer, asked past everything that may go wrong. */
  look(method: string, path: string, body = ''): Answer {
    return serve(this.#server, method, path, body);
  }

  /** Carries a call over a connection that stands. */
  carry(flight: Flight): void {
    this.#flights.add(flight);
    const { call } = flight;
    const fault = this.#faultFor(call);
    if (fault === null) return this.#complete(flight);
    if (typeof fault === 'object') {
      if ('slowMs' in fault) return void this.clock.after(fault.slowMs, () => this.#complete(flight));
      if (fault.executed) this.execute(call);
      return this.#land(flight, () => flight.succeed(fault.answer));
    }
    switch (fault) {
      case 'hang':
        return;
      case 'late':
        this.#late.push(call);
        break;
      case 'drop_after':
        this.execute(call);
        break;
      case 'drop_before':
    }
    this.#fail(flight);
  }

  /** Takes a call back whose client gave up; what changes something may be executed all the same. */
  abandon(flight: Flight): void {
    this.#land(flight, () => {
      if (flight.call.mutates) this.#late.push(flight.call);
    });
  }

  #faultFor(call: FakeCall): Fault | null {
    const planned = this.#planned.find(({ matches, times }) => times > 0 && matches(call));
    if (planned === undefined) return this.choose(call);
    planned.times--;
    return planned.fault;
  }

  #complete(flight: Flight): void {
    this.#land(flight, () => flight.succeed(this.execute(flight.call)));
  }

  #fail(flight: Flight): void {
    this.#land(flight, () => {
      flight.fail(new NodeError('unanswered', 'the connection ended without a whole answer', { sent: true }));
    });
  }

  #land(flight: Flight, end: () => void): void {
    if (this.#flights.delete(flight)) end();
  }
}
