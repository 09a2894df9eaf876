// A Chroma server process: a model of the server (test/support/fake-chroma) that can hang, slow down, die, lose the last
// writes of its disk, respond wrongly, and execute calls whose connection is gone.

import type { FakeResponse } from '../../support/fake-chroma/payload.ts';
import { serve } from '../../support/fake-chroma/routes.ts';
import { FakeChroma, type Disk } from '../../support/fake-chroma/server.ts';
import type { Schedule } from './schedule.ts';

export interface NodeCall {
  readonly method: string;
  readonly path: string;
  readonly body: string;
  readonly mutates: boolean;
  /** The gateway that sent it. */
  readonly gateway: string;
  /** The id under which that gateway knows the node. */
  readonly addressee: string;
}

/** What can happen to mutating calls of clients; `late`: the connection ends, and the call is executed a moment later. */
export const CALL_FAULTS = [
  'error_with_effect',
  'error_without_effect',
  'refusal',
  'drop_before',
  'drop_after',
  'late',
] as const;
export type CallFault = (typeof CALL_FAULTS)[number];

/** The server's end of a connection. */
export interface ServerConnection {
  readonly isOpen: boolean;
  respond(response: FakeResponse): void;
  end(): void;
}

const INTERNAL: FakeResponse = { status: 500, text: '{"error":"InternalError","message":"simulated"}' };
const REFUSAL: FakeResponse = {
  status: 400,
  text: '{"error":"InvalidArgumentError","message":"Validation error: simulated"}',
};
/** A document that kills every process that is given it. */
const DEADLY = '"deadly';
const RECORD_READ = /\/(?:get|query)$/;
/** A document that every process refuses, although it passed the checks. */
const REFUSED = '"refused';
/** A document that every process but one refuses, until everything is repaired. */
const PICKY = '"picky';
const NOT_PICKY = 'n1';
/** Metadata of a collection that every process creates before it responds with an error. */
const FAILING = '"failing":true';
/** Below the bound of the smallest call, whatever clock measures it, ms. */
export const BUSY_MS_MAX = 4_900;
/** By how much the bound of a call is later for each KiB of its documents, at least, ms. */
const BUSY_MS_A_KIB = 9.5;
const KIB = 1024;
/** Longer calls are large. */
const LARGE_BYTES = 64 * KIB;
/** Then the kernel has noticed that no process knows the connection. */
const KEEP_ALIVE_MS = 10_000;

/** How long the node may work on the call without a response to anything else, below its bound, ms. */
export const busyMsMax = (body: string): number => BUSY_MS_MAX + busyMsFor(body.length / KIB - 1);
export const busyMsFor = (kib: number): number => Math.max(0, Math.floor(kib * BUSY_MS_A_KIB));

/** Whether a call is about Polychrome's own records: marker, canary, scratch collections. */
export const isReserved = ({ path, body }: Pick<NodeCall, 'path' | 'body'>): boolean =>
  path.includes('/tenants/polychrome') || (path === '/api/v2/tenants' && body.includes('"polychrome"'));

/** How a call comes to be executed after its connection has ended. */
export interface Lateness {
  /** Its connection ended before it was executed, at any time. */
  readonly isLate?: boolean;
  /** Its connection ended at this moment, and it is executed within the settling time. */
  readonly delayedSinceMs?: number;
}

export interface BusyCall {
  readonly call: NodeCall;
  readonly sinceMs: number;
}

export interface ProcessObserver {
  /** Before a call is executed. */
  executing(server: ChromaProcess, call: NodeCall, lateness: Lateness): void;
  executed(server: ChromaProcess, call: NodeCall, response: FakeResponse): void;
  /** It has lost the last writes of its disk. */
  rolledBack(server: ChromaProcess): void;
}

/** A server at an address. The content belongs to the process, not to the address. */
export class ChromaProcess {
  /** Address. */
  readonly id: string;
  chroma: FakeChroma;
  observer: ProcessObserver = {
    executing: () => undefined,
    executed: () => undefined,
    rolledBack: () => undefined,
  };
  /** What a call takes beside its normal time, ms. */
  slowMs = 0;
  /** By how much responses to reads come after these were executed, ms. */
  slowReadsMs = 0;
  /** By how much mutating calls of clients are executed later than others, ms. */
  slowWritesMs = 0;
  /** Called when a call has ended the process. */
  onDied: () => void = () => undefined;
  isUp = true;
  readonly #schedule: Schedule;
  readonly #random: () => number;
  readonly #connections = new Set<ServerConnection>();
  /** The process that accepted a connection: what is on its way to an earlier one reaches no other. */
  readonly #acceptedBy = new WeakMap<ServerConnection, number>();
  #faults: CallFault[] = [];
  #isPicky: boolean;
  /** How long the next mutating call of a client takes, in which nothing else gets a response, ms. */
  #busyMs: number | null = null;
  /** As #busyMs, of the next large one. */
  #busyLargeMs: number | null = null;
  #busy: BusyCall | null = null;
  #isHung = false;
  /** Calls that wait for a process that hangs, or works on a long call, in order. */
  #waiting: (() => void)[] = [];
  #arrived = 0;
  /** Increases with each start: calls of an earlier process are gone. */
  #generation = 0;
  /** As of the last sync, where a power cut is to come. */
  #synced: Disk | null = null;

  constructor(id: string, schedule: Schedule, random: () => number) {
    this.id = id;
    this.#isPicky = id !== NOT_PICKY;
    this.#schedule = schedule;
    this.#random = random;
    this.chroma = new FakeChroma(random);
  }

  /** Whether calls have arrived that it has not executed. */
  get isBusy(): boolean {
    return this.#arrived > 0;
  }

  get isHung(): boolean {
    return this.#isHung;
  }

  /** The call that keeps the process from responding; null when there is none. */
  get busyCall(): BusyCall | null {
    return this.#busy;
  }

  /** Makes the next mutating call of a client take so long that nothing else gets a response meanwhile. */
  planBusy(forMs: number): void {
    this.#busyMs = forMs;
  }

  planBusyLarge(forMs: number): void {
    this.#busyLargeMs = forMs;
  }

  /** Makes the next mutating calls of clients fail so. */
  plan(faults: readonly CallFault[]): void {
    this.#faults.push(...faults);
  }

  clearFaults(): void {
    this.#faults = [];
    this.#isPicky = false;
    this.slowMs = 0;
    this.slowReadsMs = 0;
    this.slowWritesMs = 0;
    this.#busyMs = null;
    this.#busyLargeMs = null;
    this.release();
  }

  hang(): void {
    this.#isHung = true;
  }

  /** Responds again, once a long call in it has ended. */
  release(): void {
    this.#isHung = false;
    this.#continue();
  }

  #continue(): void {
    if (this.#isHung || this.#busy !== null) return;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const run of waiting) run();
  }

  accept(connection: ServerConnection): void {
    this.#connections.add(connection);
    this.#acceptedBy.set(connection, this.#generation);
  }

  closed(connection: ServerConnection): void {
    this.#connections.delete(connection);
  }

  /** From now on nothing reaches the disk. */
  stopSyncing(): void {
    this.#synced ??= this.chroma.disk();
  }

  /** The process ends: calls in it are lost; after a power cut also what was not synced. */
  kill(isPowerCut = false): void {
    this.isUp = false;
    this.#generation += 1;
    this.#isHung = false;
    this.#waiting = [];
    this.#busy = null;
    this.#arrived = 0;
    if (isPowerCut && this.#synced !== null) {
      this.chroma.restore(this.#synced);
      this.observer.rolledBack(this);
    }
    this.#synced = null;
    this.reset();
  }

  /** Another server takes over the address: a connection to this one ends when it is used, or by itself some time later. */
  replaceBy(chroma: FakeChroma): void {
    const open = [...this.#connections];
    this.#connections.clear();
    this.start(chroma);
    this.#schedule.after(KEEP_ALIVE_MS, () => {
      for (const connection of open) connection.end();
    });
  }

  start(chroma: FakeChroma = this.chroma): void {
    if (this.isUp) this.kill();
    this.chroma = chroma;
    this.chroma.restart();
    this.isUp = true;
  }

  /** Whether every write fails until the process ends. */
  poison(): void {
    this.chroma.poison();
  }

  /** Ends every connection, as a firewall may. */
  reset(): void {
    const open = [...this.#connections];
    this.#connections.clear();
    for (const connection of open) connection.end();
  }

  /** A call that has arrived over a connection. */
  receive(call: NodeCall, connection: ServerConnection): void {
    const generation = this.#generation;
    if (!this.isUp || this.#acceptedBy.get(connection) !== generation) return connection.end();
    this.#arrived += 1;
    const run = (): void => {
      if (this.#generation !== generation) return;
      if (this.#isHung || this.#busy !== null) return void this.#waiting.push(run);
      const busyMs = this.#takeBusy(call);
      if (busyMs !== null) return this.#work(busyMs, call, run);
      this.#arrived -= 1;
      this.#execute(call, connection);
    };
    const slowMs = this.slowMs + (call.mutates && !isReserved(call) ? this.slowWritesMs : 0);
    this.#schedule.after(0.2 + this.#random() * 2 + slowMs, run);
  }

  #takeBusy(call: NodeCall): number | null {
    if (!call.mutates || isReserved(call)) return null;
    const isLarge = this.#busyLargeMs !== null && call.body.length > LARGE_BYTES;
    const busyMs = isLarge ? this.#busyLargeMs : this.#busyMs;
    if (isLarge) this.#busyLargeMs = null;
    else this.#busyMs = null;
    return busyMs;
  }

  /** Executes the call after so long, and nothing before. */
  #work(forMs: number, call: NodeCall, run: () => void): void {
    const generation = this.#generation;
    this.#busy = { call, sinceMs: this.#schedule.nowMs };
    this.#schedule.after(forMs, () => {
      if (this.#generation !== generation) return;
      this.#busy = null;
      this.#waiting.unshift(run);
      this.#continue();
    });
  }

  #execute(call: NodeCall, connection: ServerConnection): void {
    const isOfClient = call.mutates && !isReserved(call);
    const fault = isOfClient && connection.isOpen ? this.#faults.shift() : undefined;
    if (call.mutates && call.body.includes(DEADLY)) {
      this.kill();
      return this.onDied();
    }
    const isRefused = call.body.includes(REFUSED) || (this.#isPicky && call.body.includes(PICKY));
    if (call.mutates && isRefused) return connection.respond(REFUSAL);
    switch (fault) {
      case undefined: {
        const response = this.#run(call, { isLate: !connection.isOpen });
        const fails = call.mutates && call.body.includes(FAILING) && response.status === 200;
        return this.#respond(call, connection, fails ? INTERNAL : response);
      }
      case 'error_with_effect':
        this.#run(call);
        return connection.respond(INTERNAL);
      case 'error_without_effect':
        return connection.respond(INTERNAL);
      case 'refusal':
        return connection.respond(REFUSAL);
      case 'drop_before':
        return connection.end();
      case 'drop_after':
        this.#run(call);
        return connection.end();
      case 'late': {
        const generation = this.#generation;
        const sinceMs = this.#schedule.nowMs;
        const run = (): void => {
          // Within the settling time, so that no different call may have been executed: as if it were not late.
          if (this.#generation === generation) this.#run(call, { delayedSinceMs: sinceMs });
        };
        this.#schedule.after(this.#random() * LATE_MS, run);
        return connection.end();
      }
    }
  }

  #respond({ mutates, path }: NodeCall, connection: ServerConnection, response: FakeResponse): void {
    const isDelayed = !mutates && this.slowReadsMs > 0 && RECORD_READ.test(path);
    if (!isDelayed) return connection.respond(response);
    this.#schedule.after(this.slowReadsMs, () => connection.respond(response));
  }

  #run(call: NodeCall, lateness: Lateness = {}): FakeResponse {
    this.observer.executing(this, call, lateness);
    const response = serve(this.chroma, call.method, call.path, call.body);
    this.observer.executed(this, call, response);
    return response;
  }
}

/** Within the settling time of the simulated gateways: what comes later is detected, not prevented. */
const LATE_MS = 150;
