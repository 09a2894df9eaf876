// Inflicts the faults of a plan on a simulated cluster, and repairs them: each after its time, all at the end.

import { FakeChroma } from '../../support/fake-chroma/server.ts';
import type { ChromaProcess } from './chroma-process.ts';
import { contentOn, markerLSN, replaceOn } from './node-content.ts';
import type { FaultStep, StatementKind } from './plan.ts';
import type { World } from './world.ts';

const STATEMENTS: Readonly<Record<StatementKind, RegExp>> = {
  append: /append_continuing\(/,
  checkpoint: /^select checkpoint\(/,
  decide: /from decide\(/,
  lease: /^(?:update lease|select acquire_lease)/,
  step: /^(?:select (?:set_primary|swap_copy|add_decision_page|introduce_node|reset_node)\(|update (?:head|node|node_shard) |with numbered |delete from node_shard )/,
  any: /./,
};
/** What a slow server of PostgreSQL adds to a statement, ms. */
const SLOW_POSTGRES_MS = 700;
/** Responses that a node had given before its copy became suspect have reached their clients by then, ms. */
const WRONG_AFTER_MS = 200;
/** Later where a gateway cannot reach PostgreSQL: it learns of the suspicion from the markers (R17). */
const ANNOUNCED_MS = 1_000;
/** A new copy of a suspect shard is begun within this time, or not waited for, ms. */
const COPY_BEGINS_MS = 15_000;
const LOOK_MS = 5;

/** No client writes it. */
const WRONG_VALUE = 9_999;

type FaultOf<Kind extends FaultStep['fault']> = Extract<FaultStep, { fault: Kind }>;

export class Nemesis {
  readonly #world: World;
  readonly #blank: () => FakeChroma;
  #swapped: readonly [string, string] | null = null;
  /** A standby of PostgreSQL is to be promoted. */
  #isPromoting = false;
  /** Nothing more is inflicted. */
  #isOver = false;

  constructor(world: World) {
    this.#world = world;
    const random = world.random('blank servers');
    this.#blank = () => new FakeChroma(random);
  }

  inflict(step: FaultStep): void {
    const { network } = this.#world;
    if (this.#isOver) return;
    if (step.fault !== 'busy_node' && step.fault !== 'busy_large') this.#world.disturbed();
    switch (step.fault) {
      case 'cut':
        network.cut(step.from, step.to);
        if (!step.isOneWay) network.cut(step.to, step.from);
        return this.#after(step.forMs, () => {
          network.heal(step.from, step.to);
          network.heal(step.to, step.from);
        });
      case 'slow_link':
        network.slow(step.from, step.to, step.slowMs);
        return this.#after(step.forMs, () => network.heal(step.from, step.to));
      case 'stop_postgres':
      case 'stop_postgres_after':
      case 'slow_postgres':
      case 'promote_standby':
      case 'statements':
        return this.#inflictOnPostgres(step);
      case 'kill_gateway':
      case 'stop_gateway':
      case 'freeze_gateway':
      case 'freeze_connecting':
        return this.#inflictOnGateway(step);
      case 'isolate_leader':
        return this.#isolateLeader(step);
      case 'disaster':
        return this.#disaster(step);
      case 'power_cut_all':
        for (const node of this.#world.nodes) this.#cutPower(node, step);
        return;
      case 'drain':
      case 'promote':
      case 'suspect':
        return this.#operate(step);
      case 'swap_nodes':
        return this.#swap(step);
      case 'swap_connecting':
        return this.#swapConnecting(step);
      case 'repair':
        return this.repairAll();
      case 'kill_node':
      case 'poison_node':
      case 'blank_node':
      case 'power_cut':
      case 'hang_node':
      case 'busy_node':
      case 'busy_large':
      case 'reset_node':
      case 'slow_node':
      case 'slow_reads':
      case 'slow_writes':
      case 'calls':
        return this.#inflictOnNode(step, this.#world.node(step.node));
    }
  }

  /** Everything works again. */
  repairAll(): void {
    const { network, postgres, nodes, gateways, plan } = this.#world;
    this.#world.disturbed();
    this.#world.onOpening = () => undefined;
    network.healAll();
    postgres.clearFaults();
    if (!postgres.isUp) postgres.start();
    this.#swapBack();
    for (const node of nodes) {
      node.clearFaults();
      if (!node.isUp) node.start();
      else if (node.chroma.isPoisoned) node.start();
    }
    for (const name of plan.gateways) {
      this.#startGateway(name);
      gateways.get(name)?.process.receive(0, () => undefined);
    }
  }

  #after(forMs: number, repair: () => void): void {
    this.#world.schedule.after(forMs, () => {
      this.#world.disturbed();
      repair();
    });
  }

  #inflictOnNode(
    step: FaultOf<
      | 'kill_node'
      | 'poison_node'
      | 'blank_node'
      | 'power_cut'
      | 'hang_node'
      | 'busy_node'
      | 'busy_large'
      | 'reset_node'
      | 'slow_node'
      | 'slow_reads'
      | 'slow_writes'
      | 'calls'
    >,
    node: ChromaProcess,
  ): void {
    const restart = (): void => restarted(node);
    switch (step.fault) {
      case 'kill_node':
        node.kill();
        return this.#after(step.forMs, restart);
      case 'poison_node':
        node.poison();
        return this.#after(step.forMs, restart);
      case 'blank_node':
        node.kill();
        return this.#after(step.forMs, () => node.start(this.#blank()));
      case 'power_cut':
        return this.#cutPower(node, step);
      case 'hang_node':
        node.hang();
        return this.#after(step.forMs, () => node.release());
      case 'busy_node':
        return node.planBusy(step.busyMs);
      case 'busy_large':
        return node.planBusyLarge(step.busyMs);
      case 'slow_reads':
        node.slowReadsMs = step.slowMs;
        return this.#after(step.forMs, () => (node.slowReadsMs = 0));
      case 'slow_writes':
        node.slowWritesMs = step.slowMs;
        return this.#after(step.forMs, () => (node.slowWritesMs = 0));
      case 'reset_node':
        return node.reset();
      case 'slow_node':
        node.slowMs = step.slowMs;
        return this.#after(step.forMs, () => (node.slowMs = 0));
      case 'calls':
        return node.plan(step.hows);
    }
  }

  /** What the node stores from now on is lost when its power is cut. */
  #cutPower(
    node: ChromaProcess,
    { unsyncedMs, forMs }: { readonly unsyncedMs: number; readonly forMs: number },
  ): void {
    node.stopSyncing();
    this.#after(unsyncedMs, () => {
      node.kill(true);
      this.#after(forMs, () => restarted(node));
    });
  }

  #inflictOnPostgres(
    step: FaultOf<
      'stop_postgres' | 'stop_postgres_after' | 'slow_postgres' | 'promote_standby' | 'statements'
    >,
  ): void {
    const { postgres } = this.#world;
    switch (step.fault) {
      case 'stop_postgres_after':
        return postgres.plan(STATEMENTS[step.kind], 'lose_response', 1, () => {
          postgres.stop();
          this.#after(step.forMs, () => postgres.start());
        });
      case 'stop_postgres':
        postgres.stop();
        return this.#after(step.forMs, () => postgres.start());
      case 'slow_postgres':
        postgres.slowMs = SLOW_POSTGRES_MS;
        return this.#after(step.forMs, () => (postgres.slowMs = 0));
      case 'statements':
        return postgres.plan(STATEMENTS[step.kind], step.how, step.times);
      case 'promote_standby': {
        // What a standby of an earlier server has received cannot follow on another one.
        if (this.#isPromoting) return;
        this.#isPromoting = true;
        // The standby has received everything until now; it is promoted `lostMs` later.
        const received = step.lostMs === 0 ? null : postgres.server.tables.copy();
        return this.#after(step.lostMs, () => {
          postgres.stop();
          this.#after(step.forMs, () => {
            if (received === null) postgres.server.failOver();
            else this.#world.lose(received);
            postgres.start();
            this.#isPromoting = false;
          });
        });
      }
    }
  }

  #inflictOnGateway(
    step: FaultOf<'kill_gateway' | 'stop_gateway' | 'freeze_gateway' | 'freeze_connecting'>,
  ): void {
    const world = this.#world;
    const { gateway: name, forMs } = step;
    if (step.fault === 'freeze_gateway') return world.gateways.get(name)?.process.freeze(forMs);
    if (step.fault === 'freeze_connecting') {
      world.onOpening = (gateway, node) => {
        if (gateway !== name || node !== step.node) return;
        world.onOpening = () => undefined;
        world.disturbed();
        world.gateways.get(name)?.process.freeze(forMs);
      };
      return world.node(step.node).reset();
    }
    if (world.isDown(name)) return;
    if (step.fault === 'kill_gateway') world.killGateway(name);
    else world.stopGateway(name);
    this.#after(forMs, () => this.#startGateway(name));
  }

  #startGateway(name: string): void {
    const world = this.#world;
    if (!world.isDown(name)) return;
    world.killGateway(name);
    world.startGateway(name);
  }

  /** Responses of PostgreSQL come ever later, then none: when does the gateway stop leading? */
  #isolateLeader({ slowMs, forMs }: FaultOf<'isolate_leader'>): void {
    const { network } = this.#world;
    const leader = this.#world.leading()?.process.name;
    if (leader === undefined) return;
    network.slow('postgres', leader, slowMs);
    this.#after(3 * slowMs, () => {
      network.cut(leader, 'postgres');
      network.cut('postgres', leader);
    });
    this.#after(3 * slowMs + forMs, () => {
      network.heal(leader, 'postgres');
      network.heal('postgres', leader);
    });
  }

  /** Only the markers of nodes know of the entries that are lost. Nothing else happens after it. */
  #disaster({ lostMs, forMs }: FaultOf<'disaster'>): void {
    const world = this.#world;
    const { postgres, plan, nodes } = world;
    this.repairAll();
    this.#isOver = true;
    const received = postgres.server.tables.copy();
    this.#after(lostMs, () => {
      for (const name of plan.gateways) world.killGateway(name);
      postgres.stop();
      this.#after(forMs, () => {
        // What no marker holds is lost unnoticed, as docs/guarantees.md says.
        const isKnown = nodes.some(({ chroma }) => markerLSN(chroma) > received.head.lsn);
        if (isKnown) world.lose(received);
        else postgres.server.failOver();
        postgres.start();
        for (const name of plan.gateways) this.#startGateway(name);
      });
    });
  }

  #swap({ nodes: [a, b], forMs }: FaultOf<'swap_nodes'>): void {
    if (a === b || this.#swapped !== null) return;
    this.#exchange(a, b);
    this.#swapped = [a, b];
    this.#after(forMs, () => this.#swapBack());
  }

  /** The first server's connections end, and it is replaced when a gateway opens the next one for calls of clients. */
  #swapConnecting({ nodes: [a, b], forMs }: FaultOf<'swap_connecting'>): void {
    const world = this.#world;
    if (a === b) return;
    world.onOpening = (_gateway, node) => {
      if (node !== a || this.#swapped !== null) return;
      world.onOpening = () => undefined;
      world.disturbed();
      const [first, second] = [world.node(a), world.node(b)];
      const [ofFirst, ofSecond] = [first.chroma, second.chroma];
      first.replaceBy(ofSecond);
      second.replaceBy(ofFirst);
      this.#swapped = [a, b];
      this.#after(forMs, () => this.#swapBack());
    };
    world.node(a).reset();
  }

  #swapBack(): void {
    if (this.#swapped === null) return;
    this.#exchange(...this.#swapped);
    this.#swapped = null;
  }

  /** The two servers get each other's address. */
  #exchange(a: string, b: string): void {
    const [first, second] = [this.#world.node(a), this.#world.node(b)];
    const [ofFirst, ofSecond] = [first.chroma, second.chroma];
    first.kill();
    second.kill();
    first.start(ofSecond);
    second.start(ofFirst);
  }

  /** What an operator does, through the gateway that leads. */
  #operate(step: FaultOf<'drain' | 'promote' | 'suspect'>): void {
    const { world, leading } = { world: this.#world, leading: this.#world.leading() };
    if (step.fault === 'drain') {
      world.drain(step.node, true);
      return this.#after(step.forMs, () => world.drain(step.node, false));
    }
    if (leading === null) return;
    const { process, replication } = leading;
    if (step.fault === 'promote') {
      return process.receive(0, () => {
        if (replication!.nodes.get(step.node).member.state === 'serving')
          replication!.leader.promote(step.node);
      });
    }
    const shard = world.shardNamed(step.name);
    const { term } = replication!.leader;
    if (shard === null || term === null) return;
    process.receive(0, () => {
      replication!.suspects.add(step.node, shard, 'simulated', term).catch(() => undefined);
      if (!step.isWrong) return;
      this.#after(WRONG_AFTER_MS, () => {
        if (!this.#isGatewayCutOff()) this.#falsify(step.node, shard);
        else this.#after(ANNOUNCED_MS, () => this.#falsify(step.node, shard));
      });
    });
    this.#writeWhileCopied(step, shard);
  }

  /** Has a client write as soon as the new copy of a suspect one is begun. */
  #writeWhileCopied({ node, writes, client }: FaultOf<'suspect'>, shard: string): void {
    const { schedule, postgres } = this.#world;
    if (writes.length === 0) return;
    const untilMs = schedule.nowMs + COPY_BEGINS_MS;
    const look = (): void => {
      const copies = [...postgres.server.tables.nodeShards.values()];
      const isBegun = copies.some(
        (row) => row.node === node && row.shard === shard && row.state === 'building',
      );
      if (isBegun) for (const write of writes) this.#world.request(client, write);
      else if (schedule.nowMs < untilMs && !this.#isOver) schedule.after(LOOK_MS, look);
    };
    look();
  }

  #isGatewayCutOff(): boolean {
    const { network, plan } = this.#world;
    return plan.gateways.some((name) => network.isCut(name, 'postgres') || network.isCut('postgres', name));
  }

  /** Changes a record of a suspect copy: nothing may be read or decided from it any more. */
  #falsify(node: string, shard: string): void {
    const { postgres } = this.#world;
    const row = postgres.server.tables.currentCopy(node, shard);
    const process = this.#world.node(node);
    if (row === null || row.suspect === null || !process.isUp || process.isBusy) return;
    const [id] = contentOn(process.chroma, row.physical)?.keys() ?? [];
    if (id === undefined) return;
    this.#world.trace(`a record of ${shard} on ${node} is wrong`);
    replaceOn(process.chroma, row.physical, id, WRONG_VALUE);
  }
}

/** Starts the process unless it works. */
function restarted(node: ChromaProcess): void {
  if (!node.isUp || node.chroma.isPoisoned) node.start();
}
