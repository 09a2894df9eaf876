// Notices nodes whose files are damaged: copies there cannot be read, and none can be made anew beside them. Only an empty
// data directory heals such a node; it is then filled from the others.

import type { Catalog } from '../catalog/catalog.ts';
import type { EventSink } from '../observability/events.ts';
import type { Clock } from '../util/clock.ts';
import type { Logger } from '../util/logger.ts';
import { mapKey } from '../util/map-key.ts';

export interface DamagedNodesOptions {
  readonly catalog: Pick<Catalog, 'physical' | 'shards' | 'isHealthy'>;
  /** Ids of nodes that serve. */
  readonly serving: () => readonly string[];
  /** Has the node's data directory emptied and its server started again. */
  readonly discard: (node: string) => void;
  readonly clock: Clock;
  readonly events: EventSink;
  readonly logger: Pick<Logger, 'error' | 'warn'>;
}

// Each attempt makes the copy anew, after a longer pause: a passing failure of the server has ended by then.
const FAILURES_MIN = 3;
// Long enough for the node to be filled; a server that is damaged again after that has a broken disk.
const APART_MS = 3_600_000;
// A full disk lets a server read what it has.
const UNREADABLE = /cannot be (?:read|counted|queried|searched)/;

export class DamagedNodes {
  readonly #options: DamagedNodesOptions;
  /** By node and shard. */
  readonly #failures = new Map<string, number>();
  /** When a node's content was discarded last, clock.monotonic() ms. */
  readonly #discardedAt = new Map<string, number>();

  constructor(options: DamagedNodesOptions) {
    this.#options = options;
  }

  /** A copy was made anew. */
  healed(node: string, shard: string): void {
    this.#failures.delete(keyOf(node, shard));
  }

  /** A suspect copy could not be made anew because its server responds that it cannot work. */
  failed(node: string, shard: string, reason: string): void {
    if (!UNREADABLE.test(this.#options.catalog.physical(node, shard)?.suspect ?? '')) return;
    const failures = (this.#failures.get(keyOf(node, shard)) ?? 0) + 1;
    this.#failures.set(keyOf(node, shard), failures);
    if (failures >= FAILURES_MIN) this.discard(node, reason);
  }

  /** Has a damaged node emptied, unless content would be lost or it was emptied within the hour; whether it did. */
  discard(node: string, reason: string): boolean {
    const { clock, discard, events, logger } = this.#options;
    const now = clock.monotonic();
    if (now - (this.#discardedAt.get(node) ?? -Infinity) < APART_MS) return false;
    const obstacle = this.#obstacle(node, now);
    if (obstacle !== null) {
      logger.warn({ node, reason, obstacle }, 'damaged node not discarded');
      return false;
    }
    this.#discardedAt.set(node, now);
    this.#failures.clear();
    logger.error({ node, reason }, 'files of the node are damaged');
    events.record('node_damaged', { node, reason });
    discard(node);
    return true;
  }

  #obstacle(node: string, now: number): string | null {
    const { catalog, serving } = this.#options;
    const others = serving().filter((id) => id !== node);
    // R35: other nodes that serve have a healthy copy of everything.
    const isKept = catalog.shards().every((shard) => others.some((id) => catalog.isHealthy(id, shard)));
    if (others.length === 0 || !isKept) return 'no other node has all of it';
    // What damages one node after another may not be a disk.
    const isFilling = ([id, at]: [string, number]): boolean => now - at < APART_MS && !others.includes(id);
    const filling = [...this.#discardedAt].filter(([id]) => id !== node).find(isFilling);
    return filling === undefined ? null : `node ${filling[0]} was emptied before and does not serve yet`;
  }
}

function keyOf(node: string, shard: string): string {
  return mapKey(`${node} ${shard}`);
}
