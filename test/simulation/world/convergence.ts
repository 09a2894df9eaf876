// Whether a repaired cluster has converged: every client has its response, every node serves and holds what the log says.
// An operator replaces a node that waits for one.

import { FakeChroma } from '../../support/fake-chroma/server.ts';
import { Violation } from './violation.ts';
import { contentOn, isEqual, shownContent } from './node-content.ts';
import { keyOf } from '../../support/fake-postgres/tables.ts';
import { NAMES } from './plan.ts';
import type { World } from './world.ts';

/** An operator looks this often, and replaces the disk of a node that has not served for so long. */
const OPERATOR_MS = 20_000;
/** The cluster must stay as it is for a while: what a delayed re-read finds comes after seconds. */
const QUIET_MS = 8_000;
const LOOK_MS = 100;
/** Every client has its response by then: three times what one waits for a response. */
const ANSWERS_MS = 90_000;

export class Convergence {
  readonly #world: World;
  readonly #blank: () => FakeChroma;
  #quietSinceMs: number | null = null;
  #firstMs: number | null = null;
  #lookAtMs = 0;
  readonly #replaced = new Set<string>();
  readonly #repairedMs: number;

  constructor(world: World) {
    this.#world = world;
    this.#repairedMs = world.schedule.nowMs;
    const random = world.random('replaced disks');
    this.#blank = () => new FakeChroma(random);
    const operate = (): void => {
      this.#operate();
      world.schedule.after(OPERATOR_MS, operate);
    };
    world.schedule.after(OPERATOR_MS, operate);
  }

  isReached(): boolean {
    const { nowMs } = this.#world.schedule;
    if (nowMs < this.#lookAtMs) return false;
    this.#lookAtMs = nowMs + LOOK_MS;
    const isOpen = this.#world.pending > 0 && this.#world.postgres.server.tables.head.rewound === null;
    if (isOpen && nowMs - this.#repairedMs > ANSWERS_MS) return true;
    if (this.#missing() !== null) {
      this.#quietSinceMs = null;
      return false;
    }
    this.#quietSinceMs ??= nowMs;
    return nowMs - this.#quietSinceMs >= QUIET_MS;
  }

  /** Reports what is not as it must be at the end. */
  check(): void {
    const { world, missing } = { world: this.#world, missing: this.#missing() };
    if (missing !== null)
      return world.report(new Violation(missing.startsWith('client') ? 'answers' : 'I16', missing));
    try {
      this.#checkContent();
      this.#checkLeftovers();
      this.#checkCatalogs();
    } catch (error) {
      world.failed(error);
    }
  }

  /** What is not reached yet; null when everything is. */
  #missing(): string | null {
    const world = this.#world;
    const { tables } = world.postgres.server;
    // Nothing is appended and nothing is applied until an operator has chosen; clients try again for long.
    if (tables.head.rewound !== null) return null;
    if (world.pending > 0) return `clients wait for ${world.pending} responses`;
    const leading = world.leading();
    if (leading === null) return 'no gateway leads';
    if (leading.replication!.leader.halted !== null) return leading.replication!.leader.halted;
    for (const { member } of leading.replication!.nodes.all())
      if (member.state !== 'serving') return `${member.id} is ${member.state}: ${member.reason ?? ''}`;
    for (const { id, checkpoint, removed } of tables.nodes.values())
      if (!removed && checkpoint !== tables.head.lsn)
        return `${id} is at LSN ${checkpoint}, the log ends at ${tables.head.lsn}`;
    for (const { node, shard, suspect, state } of tables.nodeShards.values()) {
      if (state === 'building') return `a copy of ${shard} on ${node} is in the making`;
      if (suspect !== null && state === 'current') return `${shard} is suspect on ${node}: ${suspect}`;
    }
    return null;
  }

  /**
   * Does what only an operator can: replaces a node that lost its content, or the only witness of a suspect shard, and takes
   * drained nodes back into service.
   */
  #operate(): void {
    const world = this.#world;
    for (const { id, drained } of world.postgres.server.tables.nodes.values())
      if (drained) world.drain(id, false);
    const leading = world.leading();
    if (leading === null) return;
    const stuck = leading
      .replication!.nodes.all()
      .map(({ member }) => member)
      .find(({ state }) => state === 'needs_rebuild' || state === 'fenced');
    const { nodeShards } = world.postgres.server.tables;
    const suspects = [...nodeShards.values()].filter(
      (row) => row.state === 'current' && row.suspect !== null,
    );
    const first = suspects.find(({ node }) => !this.#replaced.has(node));
    const isLate = world.schedule.nowMs - (this.#firstMs ??= world.schedule.nowMs) > 3 * OPERATOR_MS;
    const node = stuck?.id ?? (isLate ? first?.node : undefined);
    if (node === undefined || this.#replaced.has(node)) return;
    world.trace(`an operator replaces the disk of ${node}`);
    this.#replaced.add(node);
    const process = world.node(node);
    process.kill();
    world.schedule.after(1_000, () => process.start(this.#blank()));
  }

  #checkContent(): void {
    const { postgres, expected, exemptions, nodes } = this.#world;
    const { tables } = postgres.server;
    if (tables.head.rewound !== null) return;
    for (const { id: collection, state } of tables.collections.values()) {
      if (state !== 'ready' || exemptions.has(collection)) continue;
      const shards = [...tables.shards.values()].filter((row) => row.collection === collection);
      for (const { id: shard } of shards)
        for (const { id: node, chroma } of nodes) {
          const copy = tables.currentCopy(node, shard);
          const found = copy === null ? null : contentOn(chroma, copy.physical);
          const wanted = expected.at(shard, tables.head.lsn);
          if (found === null) throw new Violation('I8', `${node} lacks collection ${collection} at the end`);
          if (!isEqual(found, wanted)) {
            const difference = `holds ${shownContent(found)}, expected ${shownContent(wanted)}`;
            throw new Violation('I8', `${node} at the end, collection ${collection}: ${difference}`);
          }
        }
    }
  }

  /**
   * R5: under the name of a client's collection a node has only copies that are known. What a power failure has brought
   * back stays until the next create of that name there, which drops it.
   */
  #checkLeftovers(): void {
    const { postgres, nodes, exemptions, rolledBack } = this.#world;
    const { tables } = postgres.server;
    if (tables.head.rewound !== null || !exemptions.isEmpty) return;
    const names = new Set<string>(NAMES);
    for (const { id: node, chroma } of nodes.filter((each) => !rolledBack.has(each.chroma)))
      for (const { id, name } of chroma.peekCollections())
        if (names.has(name) && !tables.nodeShards.has(keyOf(node, id)))
          throw new Violation('I16', `${node} has a collection "${name}" that is no copy`);
  }

  /** The gateway that leads knows what the log says that exists. */
  #checkCatalogs(): void {
    const { tables } = this.#world.postgres.server;
    const catalog = this.#world.leading()?.storage?.catalog;
    if (catalog === undefined || tables.head.rewound !== null) return;
    const known = catalog
      .collections('default_tenant', 'default_database')
      .map(({ id, name }) => `${name} ${id}`);
    const wanted = [...tables.collections.values()]
      .filter(({ state }) => state === 'ready')
      .map(({ id, name }) => `${name} ${id}`);
    if (known.toSorted().join() !== wanted.toSorted().join())
      throw new Violation('I6', `the catalog has ${known.join()}, the log ${wanted.join()}`);
  }
}
