// One simulated cluster: nodes, gateways, PostgreSQL and clients on one schedule, with faults from a plan, and invariants
// that are checked at every step. After the last step everything is repaired, and the cluster must converge.

import type { FakeChroma } from '../../support/fake-chroma/server.ts';
import { FakePostgres } from '../../support/fake-postgres/server.ts';
import type { Tables } from '../../support/fake-postgres/tables.ts';
import { seededRandom } from '../../support/seeded-random.ts';
import type { Observed } from '../../histories/history.ts';
import { ChromaProcess, type NodeCall } from './chroma-process.ts';
import { SimulatedClient, type Done } from './client.ts';
import { Convergence } from './convergence.ts';
import { documentFor, ExpectedContent, NotDecided } from './expected-content.ts';
import { SimulatedGateway, type ClientCall, type ClientResponse } from './gateway.ts';
import { Invariants } from './invariants.ts';
import { Violation } from './violation.ts';
import { Nemesis } from './nemesis.ts';
import { Network } from './network.ts';
import { markerLSN } from './node-content.ts';
import { NAMES, PLAN_BEGINS_MS, type ClientPlan, type ClientStep, type Plan } from './plan.ts';
import { PostgresService } from './postgres-link.ts';
import { ReadChecks } from './read-checks.ts';
import { Exemptions } from './exemptions.ts';
import { Schedule, SimulatedProcess } from './schedule.ts';

export interface RunResult {
  readonly violation: Violation | null;
  readonly observed: readonly Observed[];
  /** One line for each thing that happened; empty unless asked for. */
  readonly trace: readonly string[];
  readonly virtualMs: number;
  readonly events: number;
}

const CLIENT_PATIENCE_MS = 30_000;
const GATEWAY_RETRY_MS = 1_000;
const NODE_RESTART_MS = 1_000;
/** Repaired, a cluster has this long to settle: a lease, a settling time, and rebuilds with their pauses are far below. */
const CONVERGENCE_MS = 400_000;

interface ClientExchange {
  readonly gateway: string;
  readonly settle: (response: ClientResponse | null) => void;
}

export class World {
  readonly plan: Plan;
  readonly schedule = new Schedule();
  readonly network: Network;
  readonly postgres: PostgresService;
  readonly nodes: readonly ChromaProcess[];
  readonly gateways = new Map<string, SimulatedGateway>();
  readonly expected: ExpectedContent;
  readonly invariants: Invariants;
  readonly reads: ReadChecks;
  readonly exemptions = new Exemptions();
  /** Content that has lost its last writes at any time. */
  readonly rolledBack = new WeakSet<FakeChroma>();
  readonly observed: Observed[] = [];
  readonly #clients: readonly SimulatedClient[];
  readonly #exchanges = new Set<ClientExchange>();
  readonly #trace: string[] | null;
  /** Gateways that an operator has stopped, or that are down. */
  readonly #down = new Set<string>();
  #starts = 0;
  /** The gateway that led when entries were lost with a server of PostgreSQL, and the last LSN that was not. */
  #witness: SimulatedProcess | null = null;
  #keptLSN = 0;
  /** What that gateway had seen of the log. */
  #witnessedLSN = 0;
  #violation: Violation | null = null;

  constructor(plan: Plan, { traces = false }: { readonly traces?: boolean } = {}) {
    this.plan = plan;
    this.#trace = traces ? [] : null;
    const { schedule } = this;
    const nowMs = (): number => schedule.nowMs;
    this.network = new Network(schedule, this.random('network'));
    const now = (): number => 1_700_000_000_000 + Math.floor(schedule.nowMs);
    const random = this.random('postgres');
    const server = new FakePostgres({ now, random, newId: ids(this.random('log')) });
    this.postgres = new PostgresService(server);
    this.postgres.pollMs = plan.pollMs;
    this.nodes = plan.nodes.map((id) => new ChromaProcess(id, schedule, this.random(`node ${id}`)));
    this.expected = new ExpectedContent(() => server.tables);
    const { exemptions } = this;
    const wasTainted = (collection: string): boolean => this.invariants.wasTainted(collection);
    const isOnly = plan.gateways.length === 1;
    const { expected } = this;
    this.reads = new ReadChecks({ postgres: server, expected, exemptions, wasTainted, nowMs, isOnly });
    this.invariants = new Invariants({
      postgres: server,
      expected: this.expected,
      exemptions,
      server: (node) => this.node(node),
      disturbedAtMs: () => this.disturbedAtMs,
      leaders: () => this.#leaders(),
      nowMs,
      isLossKnown: (lsn) => this.#isLossKnown(lsn),
      report: (violation) => this.report(violation),
    });
    server.onChanged = (text) => {
      const { head } = server.tables;
      this.trace(() => `postgres ${text.slice(0, 60)} head ${head.lsn} view ${head.view}`);
      this.invariants.changed();
      this.reads.changed();
    };
    for (const node of this.nodes) this.#observe(node);
    this.#clients = plan.clients.map((each, n) => this.#client(`c${n + 1}`, each));
  }

  get violation(): Violation | null {
    return this.#violation;
  }

  /** A generator of its own for each part, so that what one part draws does not change the others. */
  random(part: string): () => number {
    let seed = this.plan.seed;
    for (const character of part) seed = Math.imul(seed ^ character.charCodeAt(0), 0x01000193) + 0x9e3779b9;
    return seededRandom(seed);
  }

  node(id: string): ChromaProcess {
    return this.nodes.find((node) => node.id === id)!;
  }

  /** When something other than a long call was inflicted or repaired last. */
  disturbedAtMs = 0;

  disturbed(): void {
    this.disturbedAtMs = this.schedule.nowMs;
  }

  /** Called before a gateway opens a connection for mutating calls. */
  onOpening: (gateway: string, node: string) => void = () => undefined;

  /** Requests of clients without an outcome. */
  get pending(): number {
    return this.#clients.reduce((sum, { pending }) => sum + pending, 0);
  }

  /** Has a client send a request after those that it was given before. */
  request(client: number, request: ClientStep): void {
    this.#clients[client]!.add(request);
  }

  /** A check has thrown: what depends on a decision that was lost with a server of PostgreSQL is not checked. */
  failed(error: unknown): void {
    if (error instanceof NotDecided && !this.exemptions.isEmpty) return;
    this.report(error instanceof Violation ? error : new Violation('I11', String(error)));
  }

  report(violation: Violation): void {
    this.trace(`VIOLATION ${violation.message}`);
    this.#violation ??= violation;
  }

  /** `text` is asked for only where there is a trace. */
  trace(text: string | (() => string)): void {
    const shownText = (): string => (typeof text === 'string' ? text : text());
    this.#trace?.push(`${this.schedule.nowMs.toFixed(1)} ${shownText()}`);
  }

  /** Runs the plan to its end, and until the cluster has converged. */
  async run(): Promise<RunResult> {
    const { schedule, plan } = this;
    const isOver = (): boolean => this.#violation !== null;
    const nemesis = new Nemesis(this);
    for (const name of plan.gateways) this.startGateway(name);
    for (const step of plan.steps)
      schedule.after(step.atMs, () => {
        if ('fault' in step) {
          this.trace(`fault ${JSON.stringify(step.fault)}`);
          nemesis.inflict(step.fault);
        } else this.request(step.client, step.request);
      });
    const lastMs = Math.max(PLAN_BEGINS_MS, ...plan.steps.map(({ atMs }) => atMs));
    await schedule.run(lastMs + 1, isOver);
    if (!isOver()) {
      this.trace('everything is repaired');
      nemesis.repairAll();
      for (const name of NAMES)
        this.request(0, { op: 'get', name, ids: null, consistency: 'strong', withEmbeddings: true });
      const convergence = new Convergence(this);
      const untilMs = schedule.nowMs + CONVERGENCE_MS;
      await schedule.run(untilMs, () => isOver() || convergence.isReached());
      if (!isOver()) convergence.check();
    }
    for (const client of this.#clients) client.end();
    const trace = this.#trace ?? [];
    return {
      violation: this.#violation,
      observed: this.observed,
      trace,
      virtualMs: schedule.nowMs,
      events: schedule.events,
    };
  }

  /** Starts a process of the gateway, again and again until it can start. */
  startGateway(name: string): void {
    this.#down.delete(name);
    const { schedule, network, postgres, nodes } = this;
    const start = ++this.#starts;
    const process = new SimulatedProcess(
      schedule,
      name,
      0.995 + 0.01 * this.random(`rate ${name} ${start}`)(),
    );
    const gateway = new SimulatedGateway({
      process,
      network,
      postgres,
      nodes,
      random: this.random(`gateway ${name} ${start}`),
      lateness: this.random(`lateness ${name} ${start}`),
      newId: ids(this.random(`ids ${name} ${start}`)),
      onSent: (call) => this.invariants.sent(call),
      onOpening: (node) => this.onOpening(name, node),
      onLog: (level, text, fields) => {
        if (level !== 'debug') this.trace(() => `${name} ${level} ${text} ${shown(fields)}`);
      },
      onBroken: (what) => this.report(new Violation('I16', `${name}: ${what}`)),
    });
    this.gateways.set(name, gateway);
    process.receive(0, () => {
      gateway.start().catch((error: unknown) => {
        this.trace(`${name} did not start: ${String(error)}`);
        if (gateway.process.isKilled) return;
        process.kill();
        schedule.after(GATEWAY_RETRY_MS, () => {
          if (this.gateways.get(name) === gateway && !this.#down.has(name)) this.startGateway(name);
        });
      });
    });
  }

  killGateway(name: string): void {
    this.#down.add(name);
    this.gateways.get(name)?.process.kill();
    this.invariants.gatewayKilled(name);
    for (const exchange of [...this.#exchanges]) if (exchange.gateway === name) exchange.settle(null);
  }

  /** Stops a gateway as SIGTERM does. */
  stopGateway(name: string): void {
    const gateway = this.gateways.get(name);
    if (gateway === undefined || !gateway.isRunning) return;
    this.#down.add(name);
    const end = (): void => {
      if (this.gateways.get(name) === gateway) this.killGateway(name);
    };
    gateway.process.receive(0, () => void gateway.stop().then(end));
  }

  isDown(name: string): boolean {
    return this.#down.has(name) || this.gateways.get(name)?.process.isKilled === true;
  }

  /** The gateway that leads by its own clock; null when none does. */
  leading(): SimulatedGateway | null {
    for (const gateway of this.gateways.values())
      if (gateway.isRunning && gateway.replication !== null && gateway.replication.leader.term !== null)
        return gateway;
    return null;
  }

  /** An operator takes a node out of service, or back into it, through a gateway that runs. */
  drain(node: string, isDrained: boolean): void {
    const gateway = this.leading() ?? [...this.gateways.values()].find((each) => each.isRunning);
    gateway?.process.receive(0, () => {
      gateway.storage?.members.drain(node, isDrained).catch(() => undefined);
    });
  }

  /** Gateways that may send calls to nodes, each by its own clock. */
  #leaders(): string[] {
    const leads = ({ process, replication }: SimulatedGateway): boolean =>
      !process.isKilled && replication?.leader.term?.held() === true;
    return [...this.gateways.values()].filter(leads).map(({ process }) => process.name);
  }

  /** The shard of the collection of that name; null when there is none. */
  shardNamed(name: string): string | null {
    const { collections, shards } = this.postgres.server.tables;
    const found = [...collections.values()].find((row) => row.name === name && row.state === 'ready');
    return [...shards.values()].find((row) => row.collection === found?.id)?.id ?? null;
  }

  /** A promoted standby of PostgreSQL, with these tables, lacks what was committed last. */
  lose(after: Tables): void {
    const before = this.postgres.server.tables;
    this.trace(`promoted with LSN ${after.head.lsn} of ${before.head.lsn}`);
    const leading = this.leading();
    // Where the standby does not know of its term, another gateway leads first, and does not know what it has seen.
    this.#witness = leading?.process.name === after.lease.holder ? (leading?.process ?? null) : null;
    this.#witnessedLSN = leading?.replication?.logBuffer.head ?? 0;
    this.#keptLSN = after.head.lsn;
    this.exemptions.rewound(before, after);
    this.postgres.server.failOver(after);
    this.expected.forget();
    this.invariants.logLost();
    this.reads.logLost();
  }

  /** What neither a gateway nor a marker remembers is lost unnoticed, as docs/guarantees.md says. */
  #isLossKnown(lsn: number): boolean {
    return (
      (this.#witness?.isKilled === false && lsn <= this.#witnessedLSN) ||
      this.nodes.some(({ isUp, chroma }) => isUp && markerLSN(chroma) > this.#keptLSN)
    );
  }

  #observe(node: ChromaProcess): void {
    node.observer = {
      executing: (server, call: NodeCall, lateness) => this.invariants.executing(server, call, lateness),
      rolledBack: (server) => {
        this.rolledBack.add(server.chroma);
        this.invariants.rolledBack(server);
      },
      executed: (server, { method, path, body, mutates, gateway }, { status }) => {
        if (mutates)
          this.trace(() => `${server.id} executes for ${gateway} ${method} ${path} ${body} ${status}`);
      },
    };
    node.onDied = () => {
      this.trace(`${node.id} died`);
      this.disturbed();
      this.schedule.after(NODE_RESTART_MS, () => {
        this.disturbed();
        if (!node.isUp) node.start();
      });
    };
  }

  #client(name: string, { echoes, roams, first }: ClientPlan): SimulatedClient {
    const { schedule, plan } = this;
    return new SimulatedClient({
      name,
      gateways: plan.gateways,
      first,
      echoes,
      roams,
      nowMs: () => schedule.nowMs,
      pause: (ms) => new Promise((resolve) => void schedule.after(ms, resolve)),
      exchange: (gateway, call) => this.#exchange(name, gateway, call),
      observe: (operation) => this.observed.push(operation),
      onOutcome: (done) => this.#onOutcome(done),
      onKnown: (id, known) => this.reads.seen(id, known),
      onNamed: (named, status, invokedAtMs) => this.#onNamed(named, status, invokedAtMs),
      trace: (text) => this.trace(text),
    });
  }

  #onNamed(name: string, status: number, invokedAtMs: number): void {
    if (status !== 404) return;
    const missed = this.reads.existsSince(name, invokedAtMs);
    if (missed !== null && !this.exemptions.has(missed))
      this.report(new Violation('I6', `${missed} exists as ${name}, and was called missing`));
  }

  #onOutcome(done: Done): void {
    const { request, response, outcome, gateway, collection } = done;
    const lsn = Number(response?.headers['x-polychrome-lsn'] ?? 0);
    const isWrite = request.op !== 'get' && request.op !== 'query' && request.op !== 'list';
    if (isWrite && outcome === 'ok' && lsn > 0) {
      const level = 'level' in request ? request.level : 'primary';
      const document =
        'value' in request && 'ids' in request
          ? documentFor(request.value, request.poison, request.largeKiB)
          : null;
      this.invariants.acknowledged(lsn, level, document);
      const isOfRecords = 'ids' in request || request.op === 'delete_where';
      if (collection !== null && isOfRecords) this.reads.acknowledged(lsn, gateway, collection);
    }
    try {
      this.reads.check(done);
    } catch (error) {
      this.failed(error);
    }
  }

  /** One request and its response, or null when the connection ends first. */
  #exchange(client: string, name: string, call: ClientCall): Promise<ClientResponse | null> {
    const { network, schedule } = this;
    return new Promise((resolve) => {
      const settle = (response: ClientResponse | null): void => {
        cancel();
        if (this.#exchanges.delete(exchange)) resolve(response);
      };
      const exchange: ClientExchange = { gateway: name, settle };
      this.#exchanges.add(exchange);
      const cancel = schedule.after(CLIENT_PATIENCE_MS, () => settle(null));
      const gateway = this.gateways.get(name);
      if (gateway === undefined || !gateway.isRunning) {
        // The connection is refused: nothing was sent.
        const refused = { status: 503, headers: { 'retry-after': '1' }, body: 'connection refused' };
        return void schedule.after(1, () => settle(refused));
      }
      network.send(
        client,
        name,
        () => {
          void gateway.handle(call).then((response) => {
            network.send(name, client, () => settle(response));
          });
        },
        gateway.process,
      );
    });
  }
}

/** Ids in the form of UUIDs. */
function ids(random: () => number): () => string {
  const hex = (length: number): string =>
    Array.from({ length }, () => Math.floor(random() * 16).toString(16)).join('');
  return () => `${hex(8)}-${hex(4)}-4${hex(3)}-8${hex(3)}-${hex(12)}`;
}

function shown(fields: object): string {
  return JSON.stringify(fields, (_key, value: unknown) => (value instanceof Error ? String(value) : value));
}
