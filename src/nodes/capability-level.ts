// The capabilities that every node has. Content and log may already use them, so the level is stored, and not lowered once
// the log has an entry: a server with fewer would silently read them differently
// (docs/chroma-behaviour.md#differences-between-releases).

import {
  minimumCapabilities,
  type Capabilities,
  type CommonCapabilities,
} from '../chroma/protocol/capabilities.ts';
import type { Database } from '../postgres/database.ts';

// What any server can do; in force until the first node joins.
const LEAST: Capabilities = {
  maxBatchSize: 100,
  base64Embeddings: false,
  metadataArrays: false,
  deleteLimit: false,
  schema: false,
};

const ABILITIES = ['base64Embeddings', 'metadataArrays', 'deleteLimit', 'schema'] as const;

export class CapabilityLevel {
  readonly #database: Database;
  #stored: Capabilities | null = null;
  #current: CommonCapabilities = { ...LEAST, revision: 0 };
  readonly #ofNode = new Map<string, Capabilities>();
  /** The joins so far: each one takes those before it into account. */
  #joins: Promise<unknown> = Promise.resolve();

  constructor(database: Database) {
    this.#database = database;
  }

  get current(): CommonCapabilities {
    return this.#current;
  }

  async load(): Promise<void> {
    const [row] = await this.#database.query<{ capabilities: Capabilities | null; revision: number }>(
      `select capabilities, capability_revision as revision from ${this.#database.schema}.head`,
    );
    this.#use(row?.capabilities ?? null, row?.revision ?? 0);
  }

  /**
   * Null when the node may join, or go on with another server; otherwise what its server lacks. While the log is empty the
   * level is the minimum of all nodes; later it only rises, once all of `nodesCount` nodes can do more. Throws when the lease
   * has moved on.
   */
  join(node: string, capabilities: Capabilities, nodesCount: number, epoch: number): Promise<string | null> {
    const joined = this.#joins.then(() => this.#join(node, capabilities, nodesCount, epoch));
    this.#joins = joined.catch(() => undefined);
    return joined;
  }

  async #join(
    node: string,
    capabilities: Capabilities,
    nodesCount: number,
    epoch: number,
  ): Promise<string | null> {
    await this.load();
    // Its server may be of another release than before.
    const others = [...this.#ofNode].filter(([id]) => id !== node).map(([, ofOther]) => ofOther);
    const offered = minimumCapabilities([capabilities, ...others]) as Capabilities;
    const stored = this.#stored;
    const lacks = stored === null ? [] : missingFrom(capabilities, stored);
    if (stored === null || lacks.length > 0) {
      const isStored = await this.#store(offered, epoch, true);
      if (!isStored && lacks.length > 0) return `the server lacks ${lacks.join(', ')}`;
      // Says nothing about the server: another gateway has the lease, or another node has set the level meanwhile.
      if (!isStored) throw new Error('the capability level was not stored: the lease has moved on');
    } else if (others.length + 1 >= nodesCount && missingFrom(stored, offered).length > 0) {
      await this.#store(offered, epoch, false);
    }
    this.#ofNode.set(node, capabilities);
    return null;
  }

  /** The node has left, or begins again: its capabilities limit the level no longer. */
  leave(node: string): void {
    this.#ofNode.delete(node);
  }

  /**
   * Stores the level; with `mayLower`, only while the log is empty, unless it is the first. Returns whether it was stored.
   */
  async #store(level: Capabilities, epoch: number, mayLower: boolean): Promise<boolean> {
    const s = this.#database.schema;
    const [row] = await this.#database.query<{ revision: number }>(
      `update ${s}.head set capabilities = $1::jsonb, view = view + 1,
         capability_revision = capability_revision + case when $2 and capabilities <> $1::jsonb then 1 else 0 end
       where (not $2 or lsn = 0 or capabilities is null)
         and exists (select from ${s}.lease where epoch = $3 for share) returning capability_revision as revision`,
      [JSON.stringify(level), mayLower, epoch],
    );
    if (row === undefined) return false;
    this.#use(level, row.revision);
    return true;
  }

  /** A level that was read before another one was stored is not used. */
  #use(stored: Capabilities | null, revision: number): void {
    if (revision < this.#current.revision) return;
    this.#stored = stored;
    this.#current = { ...(stored ?? LEAST), revision };
  }
}

/** The capabilities of `wanted` that `has` lacks. */
function missingFrom(has: Capabilities, wanted: Capabilities): string[] {
  const lacks: string[] = ABILITIES.filter((ability) => wanted[ability] && !has[ability]);
  return has.maxBatchSize < wanted.maxBatchSize ? [...lacks, `maxBatchSize ${wanted.maxBatchSize}`] : lacks;
}
