// Continues without entries that the log has lost, when an operator accepts that. The node that has applied the most
// becomes the source of all others: what it holds of the lost entries stays, so that as little as possible is lost.

import { RESERVED, sameIdentity, type Marker } from '../chroma/client/identity.ts';
import type { NodeClient } from '../chroma/client/node-client.ts';
import {
  createDatabaseRequest,
  createTenantRequest,
  deleteCollectionRequest,
  listCollectionsRequest,
  modifyCollectionRequest,
  type NodeMutation,
} from '../chroma/protocol/node-requests.ts';
import { isSuccess } from '../chroma/protocol/response-effect.ts';
import { TermOver } from '../coordination/term.ts';
import { StartupError } from '../errors.ts';
import { readMarker, writeMarker } from '../nodes/marker.ts';
import { emptyCollection, mutateWhileHeld } from './node-content.ts';
import type { ReportProgress } from '../util/progress.ts';
import type { KnownCopy, LostLog, RecoveryStore } from './recovery-store.ts';

export interface RecoverableServer {
  readonly id: string;
  readonly client: NodeClient;
}

export interface LogRecoveryOptions {
  readonly store: Pick<RecoveryStore, 'lost' | 'copies' | 'recover'>;
  readonly servers: readonly RecoverableServer[];
  /** Whether lists in metadata survive the deletion of their collection on these servers. */
  readonly leavesLists: boolean;
  readonly idsMax: number;
  /** Takes the lease; throws StartupError while a gateway runs. */
  readonly acquire: () => Promise<number>;
  /** Prolongs the lease; false when it has moved on. */
  readonly renew: (epoch: number) => Promise<boolean>;
  readonly report: ReportProgress;
}

/** What was lost, and what a recovery does or has done. */
export interface RecoveryReport {
  /** The lost LSNs, both included: acknowledged writes may be among them. */
  readonly from: number;
  readonly to: number;
  /** The node whose content stays; every other node is copied from it. */
  readonly kept: string;
  /** LSN up to which it has applied entries. */
  readonly applied: number;
  /** Nodes that did not respond. */
  readonly silent: readonly string[];
  /** Collections there that the log no longer knows: they are removed. */
  readonly removed: readonly string[];
  /** Collections that the log knows and the node lacks: their deletion was lost, or they are damaged. */
  readonly missing: readonly string[];
}

interface Kept {
  /** Nodes whose marker could not be read. */
  readonly silent: readonly string[];
  readonly server: RecoverableServer;
  readonly marker: Marker;
  readonly physicalId: string;
}

interface Plan {
  readonly report: RecoveryReport;
  readonly strays: readonly FoundCollection[];
  /** Collections whose name on the node is not the recorded one. */
  readonly renamed: readonly KnownCopy[];
  readonly dimensions: readonly { readonly shard: string; readonly dimension: number }[];
}

interface FoundCollection {
  readonly tenant: string;
  readonly database: string;
  readonly id: string;
  readonly name: string;
  readonly dimension?: number | null;
}

const DEADLINE_MS = 10_000;

export class LogRecovery {
  readonly #options: LogRecoveryOptions;

  constructor(options: LogRecoveryOptions) {
    this.#options = options;
  }

  /** What was lost and what a recovery would do. Changes nothing. Throws StartupError. */
  async inspect(): Promise<RecoveryReport> {
    const lost = await this.#options.store.lost();
    return (await this.#plan(lost, await this.#kept(lost))).report;
  }

  /** Throws StartupError; it may be repeated until it succeeds. */
  async run(): Promise<RecoveryReport> {
    const { store, acquire, renew, report } = this.#options;
    report({ phase: 'acquiring the lease', done: 0, total: 0, unit: 'steps' });
    const epoch = await acquire();
    report({ phase: 'comparing the nodes with the log', done: 0, total: 0, unit: 'steps' });
    const lost = await store.lost();
    const kept = await this.#kept(lost);
    const plan = await this.#plan(lost, kept);
    let isHeld = true;
    const send = async (request: NodeMutation): Promise<void> => {
      isHeld = await renew(epoch);
      const options = { client: kept.server.client, held: () => isHeld };
      const response = await mutateWhileHeld(request, options);
      if (!isSuccess(response) && response.status !== 409)
        throw new StartupError(
          `Node "${kept.server.id}": HTTP ${response.status} to ${request.operation}. Run it again.`,
        );
    };
    try {
      await this.#emptyStrays(kept, plan.strays);
      await this.#prepare(plan, lost, send);
      const { checkpoint, token } = lost.nodes.find(({ id }) => id === kept.server.id)!;
      const progress = checkpoint === 0 ? null : { log: lost.log, checkpoint, token };
      await writeMarker(kept.server.client, kept.physicalId, { ...kept.marker, progress });
      const { to } = plan.report;
      report({ phase: 'recording the loss', done: 0, total: 0, unit: 'steps' });
      if (!(await store.recover(epoch, { kept: kept.server.id, last: to, dimensions: plan.dimensions })))
        throw new TermOver();
    } catch (error) {
      if (error instanceof TermOver)
        throw new StartupError('Another gateway leads meanwhile. Stop all other gateways and run it again.');
      throw error;
    }
    return plan.report;
  }

  /** Brings the node's collections in line with what the log knows: strays are gone, names and databases restored. */
  async #prepare(
    { strays, renamed }: Plan,
    { tenants, databases }: LostLog,
    send: (request: NodeMutation) => Promise<void>,
  ): Promise<void> {
    const { report } = this.#options;
    for (const [done, { name, ...place }] of strays.entries()) {
      report({ phase: 'removing collections', done, total: strays.length, unit: 'collections' });
      await send(deleteCollectionRequest(place, name));
    }
    for (const copy of renamed)
      await send(modifyCollectionRequest(copy, Buffer.from(JSON.stringify({ new_name: copy.name }))));
    for (const tenant of tenants) await send(createTenantRequest(tenant));
    for (const database of databases) await send(createDatabaseRequest(database));
  }

  async #emptyStrays({ server }: Kept, strays: Plan['strays']): Promise<void> {
    const { leavesLists, idsMax } = this.#options;
    const removal = { client: server.client, leavesLists, idsMax, held: () => true, paced: unpaced };
    if (!leavesLists) return;
    for (const { id, ...place } of strays) await emptyCollection({ ...place, physical: id }, removal);
  }

  /** The node that responds under its identity and has applied the most; of equals the one that was primary. */
  async #kept({ nodes, log, primary }: LostLog): Promise<Kept> {
    const found: Omit<Kept, 'silent'>[] = [];
    const silent = new Set(nodes.map(({ id }) => id));
    for (const server of this.#options.servers) {
      const row = nodes.find(({ id }) => id === server.id);
      const stored = await readMarker(server.client, DEADLINE_MS).catch(() => null);
      if (
        row === undefined ||
        stored === null ||
        !sameIdentity(stored.marker, { ...stored.marker, ...row.identity })
      )
        continue;
      if (stored.marker.progress !== null && stored.marker.progress.log !== log) continue;
      silent.delete(server.id);
      found.push({ server, ...stored });
    }
    const appliedBy = ({ marker }: Omit<Kept, 'silent'>): number => marker.progress?.checkpoint ?? 0;
    const isPrimary = ({ server }: Omit<Kept, 'silent'>): number => Number(server.id === primary);
    found.sort((a, b) => appliedBy(b) - appliedBy(a) || isPrimary(b) - isPrimary(a));
    const [kept] = found;
    if (kept === undefined)
      throw new StartupError(
        'No Chroma server responds with the marker of a node of this cluster. Start them first.',
      );
    return { ...kept, silent: [...silent] };
  }

  async #plan(lost: LostLog, { server, marker, silent }: Kept): Promise<Plan> {
    const { store } = this.#options;
    const applied = marker.progress?.checkpoint ?? 0;
    const to = Math.max(lost.seen, applied);
    if (!lost.isRewound && to <= lost.head)
      throw new StartupError(
        'The log lacks nothing that is known; there is nothing to recover. Nothing was changed.',
      );
    const copies = await store.copies(server.id);
    const listed: FoundCollection[] = [];
    for (const place of lost.databases) {
      const response = await server.client.read({
        ...listCollectionsRequest(place),
        deadlineMs: DEADLINE_MS,
      });
      if (response.status !== 200) continue; // the database was created by a lost entry, or deleted by one
      const found = JSON.parse(response.body.toString()) as Omit<FoundCollection, 'tenant' | 'database'>[];
      listed.push(...found.map((each) => ({ ...place, ...each })));
    }
    const known = new Map(copies.map((copy) => [copy.physical, copy]));
    const there = new Map(listed.map((each) => [each.id, each]));
    const strays = listed.filter(({ id, tenant }) => !known.has(id) && tenant !== RESERVED.tenant);
    const missing = copies.filter(({ physical, isInUse }) => isInUse && !there.has(physical));
    const pathOf = ({ tenant, database, name }: { tenant: string; database: string; name: string }): string =>
      `${tenant}/${database}/${name}`;
    return {
      report: {
        from: lost.head + 1,
        to,
        kept: server.id,
        applied,
        silent,
        removed: strays.map(pathOf),
        missing: missing.map(pathOf),
      },
      strays,
      renamed: copies.filter(({ physical, name }) => (there.get(physical)?.name ?? name) !== name),
      dimensions: copies.flatMap(({ physical, shard, dimension }) => {
        const found = there.get(physical)?.dimension ?? null;
        return dimension === null && found !== null ? [{ shard, dimension: found }] : [];
      }),
    };
  }
}

function unpaced(step: () => Promise<void>): Promise<void> {
  return step();
}
