// The address of a fake Chroma server, with all faults between Polychrome and a node under the control of a test, and the
// errors of the real client. Time comes from the injected clock, random choices from `choose`.

import type { NodeClient } from '../../../src/chroma/client/node-client.ts';
import { NodeError } from '../../../src/chroma/client/node-error.ts';
import type { Clock } from '../../../src/util/clock.ts';
import { FakeNodeClient, type FakeClientOptions, type Flight } from './client.ts';
import type { FakeResponse } from './payload.ts';
import { serve } from './routes.ts';
import type { FakeChroma } from './server.ts';

/**
 * The fate of one call.
 * - `drop_before`: its connection ends, and it is never executed.
 * - `drop_after`: it is executed, and its connection ends before the response.
 * - `late`: its connection ends, and it is executed by runLate().
 * - `hang`: no response until release(); after cut() the call is late, after kill() it is lost.
 * - `slowMs`: executed after this time, with the response.
 * - `response`: replaces the response of the server; `executed` or not.
 */
export type Fault =
  | 'drop_before'
  | 'drop_after'
  | 'late'
  | 'hang'
  | { readonly slowMs: number }
  | { readonly response: FakeResponse; readonly executed: boolean };

export interface FakeCall {
  readonly method: string;
  readonly path: string;
  readonly body: string;
  /** Sent with mutate(). */
  readonly mutates: boolean;
}

export class FakeNode {
  readonly clock: Clock;
  /** Chooses the fault of each call without a planned one. */
  choose: (call: FakeCall) => Fault | null = () => null;
  /** Every executed call, in order, late ones included. */
  readonly executed: FakeCall[] = [];
  #server: FakeChroma;
  #up = true;
  /** The generation of connections; increases when all connections end. */
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

  /** Calls that only runLate() executes. */
  get lateCalls(): number {
    return this.#late.length;
  }

  /** Calls that wait for release(). */
  get hanging(): number {
    return this.#flights.size;
  }

  client(options: FakeClientOptions = {}): NodeClient {
    const client = new FakeNodeClient(this, options);
    this.#clients.add(client);
    return client;
  }

  /** Plans a fault for the next `times` matching calls. */
  plan(matches: (call: FakeCall) => boolean, fault: Fault, times = 1): void {
    this.#planned.push({ matches, fault, times });
  }

  /** Executes late calls in the order they were sent; returns their lost responses. */
  runLate(): FakeResponse[] {
    const calls = this.#late;
    this.#late = [];
    return calls.map((call) => this.execute(call));
  }

  /** Responds to all hanging calls. */
  release(): void {
    for (const flight of this.#flights) this.#complete(flight);
  }

  /** Ends all connections; the process lives and may execute received calls late. */
  cut(client?: NodeClient): void {
    if (client === undefined) this.#generation++;
    for (const flight of this.#flights) {
      if (client !== undefined && flight.client !== client) continue;
      if (flight.call.mutates) this.#late.push(flight.call);
      this.#fail(flight);
    }
    for (const each of this.#clients) if (client === undefined || each === client) each.connectionEnded();
  }

  /** Kills the process: unexecuted calls are lost, and connections are refused. */
  kill(): void {
    this.#up = false;
    this.#generation++;
    this.#late = [];
    for (const flight of this.#flights) this.#fail(flight);
    for (const client of this.#clients) client.connectionEnded();
  }

  /** Starts a process on the stored data, or on that of another server: an older copy, blank, another node. */
  start(server: FakeChroma = this.#server): void {
    if (this.#up) this.kill();
    this.#server = server;
    this.#server.restart();
    this.#up = true;
  }

  execute(call: FakeCall): FakeResponse {
    this.executed.push(call);
    return serve(this.#server, call.method, call.path, call.body);
  }

  /** Calls the server directly, without faults. */
  look(method: string, path: string, body = ''): FakeResponse {
    return serve(this.#server, method, path, body);
  }

  /** Sends a call over an open connection. */
  carry(flight: Flight): void {
    this.#flights.add(flight);
    const { call } = flight;
    const fault = this.#faultFor(call);
    if (fault === null) return this.#complete(flight);
    if (typeof fault === 'object') {
      if ('slowMs' in fault) return void this.clock.after(fault.slowMs, () => this.#complete(flight));
      if (fault.executed) this.execute(call);
      return this.#land(flight, () => flight.succeed(fault.response));
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

  /** Withdraws a call whose client gave up; a mutation may still be executed. */
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
      flight.fail(
        new NodeError('unanswered', 'the connection ended without a whole response', { sent: true }),
      );
    });
  }

  #land(flight: Flight, end: () => void): void {
    if (this.#flights.delete(flight)) end();
  }
}
