// Gives servers without content their identity, and has a node begin again that lost its content. Its new incarnation
// applies the whole log while the log holds all of it; else it begins at the checkpoint of a healthy node, with every shard
// suspect, and rebuilds.ts copies them one by one.

import type { Catalog } from '../catalog/catalog.ts';
import {
  newMarker,
  RESERVED,
  sameIdentity,
  type Identity,
  type NodeIdentity,
} from '../chroma/client/identity.ts';
import type { NodeClient } from '../chroma/client/node-client.ts';
import { NodeResponseError } from '../chroma/client/node-error.ts';
import {
  createDatabaseRequest,
  createTenantRequest,
  type NodeMutation,
} from '../chroma/protocol/node-requests.ts';
import { isSuccess } from '../chroma/protocol/response-effect.ts';
import { TermOver, type Term } from '../coordination/term.ts';
import { LogTrimmed, type Entry } from '../log/entry.ts';
import type { SeenEntry } from '../log/log-continuity.ts';
import type { Head } from '../log/postgres-log.ts';
import type { Introduction } from '../nodes/admission.ts';
import { contentsIfReachable, inspectNode, installMarker, type NodeContents } from '../nodes/marker.ts';
import type { Node } from '../nodes/node.ts';
import type { NodeStore } from '../nodes/node-store.ts';
import type { EventSink } from '../observability/events.ts';
import { crashPoint } from '../util/crash-point.ts';
import type { Logger } from '../util/logger.ts';
import { mutateWhileHeld, removeContent } from './node-content.ts';

export interface NodeFillingOptions {
  readonly member: Pick<Node, 'id' | 'url' | 'state' | 'isRefused' | 'on' | 'refuse'> & {
    obstacle: string | null;
  };
  /** The identity that the node has had. */
  readonly identity: Pick<NodeIdentity, 'refuses'> & Readonly<Pick<NodeIdentity, 'expected'>>;
  /** Expects no identity: the node has none that counts. */
  readonly unverified: NodeClient;
  readonly nodes: Pick<NodeStore, 'all' | 'add' | 'filled' | 'removable'>;
  /** Has the node begin again without content: it is built anew. False when the lease has moved on. */
  readonly reset: (epoch: number) => Promise<boolean>;
  readonly catalog: Pick<Catalog, 'refresh' | 'tenants' | 'everyDatabase' | 'isHealthy' | 'shards'>;
  readonly log: {
    head(): Promise<Head>;
    read(after: number, entriesMax: number, bytesMax: number): Promise<Entry[]>;
  };
  /** Other nodes that serve, with the LSN up to which each has applied everything, durably. */
  readonly others: () => readonly { readonly id: string; readonly checkpoint: number }[];
  /** Whether lists in metadata survive the deletion of their collection on these servers. */
  readonly leavesLists: () => boolean;
  readonly idsMax: () => number;
  /** Whether the log has lost an entry that the node has applied. */
  readonly hasLost: (seen: SeenEntry) => Promise<boolean>;
  /** Called with the LSN of such an entry: the node may be the only one that has it. */
  readonly onLost: (lsn: number) => void;
  readonly newId: () => string;
  readonly logger: Pick<Logger, 'info' | 'warn'>;
  readonly events: EventSink;
}

const DEADLINE_MS = 5_000;
const PAGE_ENTRIES = 512;
const PAGE_BYTES = 4 * 1024 * 1024;
/** The token of an entry that was trimmed: nothing is compared with it. */
const NO_TOKEN = '00000000-0000-0000-0000-000000000000';

/** The node cannot be filled at present. */
class CannotFill extends Error {}

export class NodeFilling implements Introduction {
  readonly #options: NodeFillingOptions;
  #isReset = false;
  /** Until then, the content that is removed is known by its marker. */
  #isMarkerRemoved = false;

  constructor(options: NodeFillingOptions) {
    this.#options = options;
  }

  async reset(term: Term, head: Head): Promise<void> {
    const { member, unverified, nodes, reset, catalog, events } = this.#options;
    // A node that begins again is replaced by another object; a promoted server may lack that it does.
    if (member.isRefused || (this.#isReset && !(await this.#hasIncarnation()))) return;
    const contents = await contentsIfReachable(unverified, DEADLINE_MS);
    if (contents === null || !this.#isToBeFilled(contents, head)) return;
    if (await this.#showsLoss(contents, head)) return;
    const { discard } = await nodes.removable(member.id);
    await catalog.refresh();
    const isRemovable = contents.blank || discard || this.#isOurs(contents, head);
    if (!isRemovable) return this.#wait('its server holds content, and no marker of this node');
    if (this.#startOrWait(head, contents) === null) return;
    if (!term.held()) return;
    this.#isReset = await reset(term.epoch);
    if (!this.#isReset) return;
    crashPoint('fill_reset');
    events.record('node_refilled', { node: member.id, wasBlank: contents.blank });
  }

  async introduce(term: Term, head: Head): Promise<{ identity: Identity; checkpoint: number } | null> {
    const { member, unverified, nodes, newId, catalog, logger } = this.#options;
    const contents = await inspectNode(unverified, DEADLINE_MS);
    this.#isMarkerRemoved = contents.marker === null;
    this.#options.identity.refuses = (found) => this.#refusalOf(found, contents.marker, head);
    const { filling, discard } = await nodes.removable(member.id);
    const isOurs = this.#isOurs(contents, head) || isEmpty(contents);
    const isUsable = contents.blank || discard || (filling && isOurs);
    if (!isUsable) return this.#refuse(contents);
    await catalog.refresh();
    const start = this.#startOrWait(head, contents);
    if (start === null) return null;
    if (!contents.blank) await this.#removeContent(term);
    crashPoint('fill_emptied');
    const identity: Identity = { cluster: head.cluster, node: member.id, incarnation: newId() };
    await nodes.add(term.epoch, {
      id: member.id,
      url: member.url,
      incarnation: identity.incarnation,
      checkpoint: start,
    });
    crashPoint('fill_recorded');
    if (start > 0) await this.#createDatabases(start, term);
    if (!term.held()) throw new TermOver();
    const progress = start === 0 ? null : await this.#progress(head.logId, start);
    await installMarker(unverified, newMarker(identity, progress));
    crashPoint('fill_marked');
    await nodes.filled(term.epoch, member.id, start);
    await catalog.refresh();
    logger.info({ node: member.id, incarnation: identity.incarnation, from: start }, 'node introduced');
    return { identity, checkpoint: start };
  }

  async #hasIncarnation(): Promise<boolean> {
    const { nodes, member } = this.#options;
    return (await nodes.all()).some(({ id }) => id === member.id);
  }

  /** Content that shows a loss of the log is not removed: it may be all that is left of the lost entries. */
  async #showsLoss(contents: NodeContents, head: Head): Promise<boolean> {
    const { hasLost, onLost } = this.#options;
    const progress = this.#isOurs(contents, head) ? contents.marker?.progress : null;
    if (!progress || progress.log !== head.logId || progress.checkpoint === 0) return false;
    const { checkpoint: lsn, token } = progress;
    if (!(await hasLost({ lsn, token }))) return false;
    onLost(lsn);
    return true;
  }

  /** A fenced node stays so while its server is another's; an earlier incarnation of itself is not. */
  #isToBeFilled(contents: NodeContents, head: Head): boolean {
    const { member, identity } = this.#options;
    if (member.state !== 'fenced') return true;
    const isEarlier = contents.marker?.incarnation !== identity.expected?.incarnation;
    return contents.blank || (this.#isOurs(contents, head) && isEarlier);
  }

  /** Why the server behind a new connection is not the one that was inspected. */
  #refusalOf(found: Identity | null, inspected: Identity | null, { cluster }: Head): string | null {
    if (found === null) return this.#isMarkerRemoved ? null : 'the server has no marker any more';
    const isOwn = found.cluster === cluster && found.node === this.#options.member.id;
    if (isOwn || (inspected !== null && sameIdentity(found, inspected))) return null;
    return `the server is node "${found.node}" of cluster ${found.cluster} now`;
  }

  #isOurs({ marker }: NodeContents, { cluster }: Head): boolean {
    return marker?.cluster === cluster && marker.node === this.#options.member.id;
  }

  #refuse({ marker, collections, databases }: NodeContents): null {
    const { member } = this.#options;
    if (marker !== null) {
      const is = `node "${marker.node}" of cluster ${marker.cluster}`;
      member.on('wrong_identity', `the server is ${is}, unknown to this log`);
      return null;
    }
    const holds = `${collections} collections in ${databases.length} databases`;
    member.refuse(
      `the server already holds data (${holds}); a new node must be empty. Start it with a new data directory.`,
    );
    return null;
  }

  #startOrWait(head: Head, contents: NodeContents): number | null {
    try {
      const start = this.#start(head, contents);
      this.#options.member.obstacle = null;
      return start;
    } catch (error) {
      if (!(error instanceof CannotFill)) throw error;
      this.#wait(error.message);
      return null;
    }
  }

  #wait(reason: string): void {
    const { member, logger } = this.#options;
    if (member.obstacle !== reason) logger.warn({ node: member.id, reason }, 'node not filled');
    member.obstacle = reason;
  }

  /** The LSN at which the new incarnation begins. Throws CannotFill when there is none, or content would be lost. */
  #start({ isComplete }: Head, { blank }: NodeContents): number {
    const { others, catalog } = this.#options;
    // The log holds everything: nothing on the node is the only witness of anything.
    if (isComplete) return 0;
    const healthy = others();
    const start = Math.max(0, ...healthy.map(({ checkpoint }) => checkpoint));
    if (start === 0)
      throw new CannotFill('the log does not hold all content, and no other node serves from which to copy');
    // R35: what no other node has stays where it is.
    const isKept = (shard: string): boolean => healthy.some(({ id }) => catalog.isHealthy(id, shard));
    if (!blank && !catalog.shards().every(isKept))
      throw new CannotFill('it may have the only copy of a collection');
    return start;
  }

  async #progress(log: string, start: number): Promise<{ log: string; checkpoint: number; token: string }> {
    const [entry] = await this.#options.log.read(start - 1, 1, PAGE_BYTES).catch((error: unknown) => {
      if (error instanceof LogTrimmed) return [];
      throw error;
    });
    return { log, checkpoint: start, token: entry?.lsn === start ? entry.batch : NO_TOKEN };
  }

  /** The tenants and databases that existed at `start`; those of later entries may exist already. */
  async #createDatabases(start: number, term: Term): Promise<void> {
    const { catalog, log } = this.#options;
    // Databases may have been created between its last read and `start`.
    await catalog.refresh();
    const databases = catalog.everyDatabase().map(({ tenant, name }) => ({ tenant, database: name }));
    const { lsn: head } = await log.head();
    for (let at = start; at < head;) {
      const page = await log.read(at, Math.min(PAGE_ENTRIES, head - at), PAGE_BYTES);
      // Its deletion is applied later, and collections before it may be in it.
      for (const { kind, header } of page)
        if (kind === 'delete_database') databases.push(JSON.parse(header) as (typeof databases)[number]);
      const last = page.at(-1);
      if (last === undefined) break;
      at = last.lsn;
    }
    const tenants = new Set([...catalog.tenants(), ...databases.map(({ tenant }) => tenant)]);
    for (const tenant of tenants) await this.#create(createTenantRequest(tenant), term);
    for (const database of databases) await this.#create(createDatabaseRequest(database), term);
  }

  async #create(request: NodeMutation, term: Term): Promise<void> {
    const options = { client: this.#options.unverified, held: () => term.held() };
    const response = await mutateWhileHeld(request, options);
    if (!isSuccess(response) && response.status !== 409)
      throw new NodeResponseError(`HTTP ${response.status} to ${request.operation}`, response.status);
  }

  async #removeContent(term: Term): Promise<void> {
    const { unverified, catalog, leavesLists, idsMax } = this.#options;
    const tenants = new Set([...catalog.tenants(), ...catalog.everyDatabase().map(({ tenant }) => tenant)]);
    const options = {
      client: unverified,
      leavesLists: leavesLists(),
      idsMax: idsMax(),
      held: () => term.held(),
      // It serves nothing.
      paced: (step: () => Promise<void>) => step(),
    };
    for (const tenant of tenants) await removeContent(tenant, options);
    // The marker last: until then the content is known as that of this node.
    this.#isMarkerRemoved = true;
    await removeContent(RESERVED.tenant, options);
  }
}

/** An interrupted introduction may leave databases, and no collection. */
function isEmpty({ marker, collections }: NodeContents): boolean {
  return marker === null && collections === 0;
}
